/** A LLaVA's processor from a checkpoint's own files, whatever it makes of the pictures. */
import { type FileStore, readJson } from '@mha2mla/checkpoint';
import { createProcessor, type ProcessorParts } from '../create-processor';
import type { Processor } from '../model-inputs';
import { loadTextFiles, readOptionalJson } from '../text/load-text-files';
import type { LlavaConfig } from './llava-config';

/**
 * Load tokenizer, template and image processor.
 * @param imagePreparer gets the parsed preprocessor_config.json (processor_config.json in newer
 *   folders).
 */
export async function loadLlavaProcessor(
  config: LlavaConfig,
  store: FileStore,
  imagePreparer: (json: unknown) => ProcessorParts['prepareImages'],
): Promise<Processor> {
  const { tokenizer, chatTemplate } = await loadTextFiles(store);
  const json =
    (await readOptionalJson(store, 'preprocessor_config.json')) ??
    (await readJson(store, 'processor_config.json'));
  return createProcessor({
    tokenizer,
    chatTemplate,
    imageTokenId: config.imageTokenId,
    padTokenId: tokenizer.padTokenId ?? config.padTokenId ?? tokenizer.eosTokenId ?? 0,
    contextWindow: config.source.text.maxPositionEmbeddings,
    prepareImages: imagePreparer(json),
  });
}
