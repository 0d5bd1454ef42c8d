/** A LLaVA's processor from a checkpoint's own files, whatever it makes of the pictures. */
import { type FileStore, readJson } from '@mha2mla/checkpoint';
import { createProcessor, type ProcessorParts } from '../create-processor';
import { loadPromptParts } from '../load-prompt-parts';
import type { Processor } from '../model-inputs';
import { readOptionalJson } from '../text/load-text-files';
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
  const parts = await loadPromptParts(config, store);
  const json =
    (await readOptionalJson(store, 'preprocessor_config.json')) ??
    (await readJson(store, 'processor_config.json'));
  return createProcessor({ ...parts, prepareImages: imagePreparer(json) });
}
