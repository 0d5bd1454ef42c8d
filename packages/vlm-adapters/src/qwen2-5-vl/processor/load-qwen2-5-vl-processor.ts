/** Qwen2.5-VL's processor from a checkpoint's own files. */
import type { FileStore } from '@mha2mla/checkpoint';
import { createProcessor } from '../../create-processor';
import { loadPromptParts } from '../../load-prompt-parts';
import type { Processor } from '../../model-inputs';
import type { Qwen25VlConfig } from '../qwen2-5-vl-config';
import { loadMediaSettings } from './media-settings';
import { prepareImages, prepareVideos } from './prepare-media';

/** Load tokenizer, template, image and video processor. */
export async function loadQwen25VlProcessor(
  config: Qwen25VlConfig,
  store: FileStore,
): Promise<Processor> {
  const parts = await loadPromptParts(config, store);
  const { vision } = config;
  const settings = await loadMediaSettings(store, vision);
  return createProcessor({
    ...parts,
    prepareImages: (images) => prepareImages(images, settings.image, vision),
    prepareVideos: (videos) => prepareVideos(videos, settings.video, vision),
  });
}
