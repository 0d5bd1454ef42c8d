/** LLaVA-NeXT (Liu et al. 2024): LLaVA-1.5 that also sees tiles of a picture in more detail. */
import type { VlmFamily } from '../family';
import { loadLlavaProcessor } from '../llava-shared/load-llava-processor';
import { projectedTowerTensors } from '../llava-shared/projected-tower';
import { llavaStoredNames } from '../llava-shared/stored-names';
import { sequentialPositions } from '../sequential-positions';
import { type LlavaNextConfig, parseLlavaNextConfig } from './llava-next-config';
import { loadLlavaNextVision } from './llava-next-vision';
import { prepareCrops } from './prepare-crops';

/** LLaVA-NeXT (1.6), Llama or Mistral inside. */
export const llavaNext: VlmFamily = {
  name: 'llava_next',
  modelTypes: ['llava_next'],
  parseConfig: parseLlavaNextConfig,
  storedNames: llavaStoredNames,
  visionTensors: (config) => [...projectedTowerTensors(config as LlavaNextConfig), 'image_newline'],
  loadVision: (config, weights) => loadLlavaNextVision(config as LlavaNextConfig, weights),
  loadProcessor: (config, store) =>
    loadLlavaProcessor(config as LlavaNextConfig, store, (json) =>
      prepareCrops(config as LlavaNextConfig, json),
    ),
  positions: (_config, inputs) => sequentialPositions(inputs),
};
