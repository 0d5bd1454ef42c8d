/** Qwen2.5-VL's processor from a checkpoint's own files. */
import type { FileStore } from '@mha2mla/checkpoint';
import { createProcessor } from '../../create-processor';
import type { Processor } from '../../model-inputs';
import { loadTextFiles } from '../../text/load-text-files';
import type { Qwen25VlConfig } from '../qwen2-5-vl-config';
import { loadMediaSettings } from './media-settings';
import { prepareImages, prepareVideos } from './prepare-media';

/** Load tokenizer, template, image and video processor. */
export async function loadQwen25VlProcessor(
  config: Qwen25VlConfig,
  store: FileStore,
): Promise<Processor> {
  const { tokenizer, chatTemplate } = await loadTextFiles(store);
  const { vision, imageTokenId, videoTokenId, padTokenId } = config;
  const settings = await loadMediaSettings(store, vision);
  return createProcessor({
    tokenizer,
    chatTemplate,
    imageTokenId,
    videoTokenId,
    padTokenId: tokenizer.padTokenId ?? padTokenId ?? tokenizer.eosTokenId ?? 0,
    contextWindow: config.source.text.maxPositionEmbeddings,
    prepareImages: (images) => prepareImages(images, settings.image, vision),
    prepareVideos: (videos) => prepareVideos(videos, settings.video, vision),
  });
}
