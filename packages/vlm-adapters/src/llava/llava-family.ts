/** LLaVA-1.5 (Liu et al. 2023): CLIP, a two-layer projector, a Llama decoder. */
import type { VlmFamily } from '../family';
import { type LlavaConfig, parseLlavaConfig } from '../llava-shared/llava-config';
import { loadLlavaProcessor } from '../llava-shared/load-llava-processor';
import { projectedTowerTensors } from '../llava-shared/projected-tower';
import { llavaStoredNames } from '../llava-shared/stored-names';
import { sequentialPositions } from '../sequential-positions';
import { loadLlavaVision } from './llava-vision';
import { prepareSquares } from './prepare-squares';

/** LLaVA-1.5. */
export const llava: VlmFamily = {
  name: 'llava',
  modelTypes: ['llava'],
  parseConfig: parseLlavaConfig,
  storedNames: llavaStoredNames,
  visionTensors: (config) => projectedTowerTensors(config as LlavaConfig),
  loadVision: (config, weights) => loadLlavaVision(config as LlavaConfig, weights),
  loadProcessor: (config, store) =>
    loadLlavaProcessor(config as LlavaConfig, store, (json) =>
      prepareSquares(config as LlavaConfig, json),
    ),
  positions: (_config, inputs) => sequentialPositions(inputs),
};
