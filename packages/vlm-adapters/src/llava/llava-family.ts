/** LLaVA-1.5 (Liu et al. 2023): CLIP, a two-layer projector, a Llama decoder. */
import type { VlmFamily } from '../family';
import { sequentialPositions } from '../sequential-positions';
import { clipTensors } from '../vision/clip-tensors';
import { type LlavaConfig, parseLlavaConfig } from './llava-config';
import { loadLlavaVision } from './llava-vision';
import { loadLlavaProcessor } from './load-llava-processor';
import { llavaStoredNames } from './stored-names';

export const llava: VlmFamily = {
  name: 'llava',
  modelTypes: ['llava'],
  parseConfig: parseLlavaConfig,
  storedNames: llavaStoredNames,
  visionTensors: (config) => [
    ...clipTensors((config as LlavaConfig).clip, 'vision_tower'),
    'multi_modal_projector.linear_1.weight',
    'multi_modal_projector.linear_2.weight',
  ],
  loadVision: (config, weights) => loadLlavaVision(config as LlavaConfig, weights),
  loadProcessor: (config, store) => loadLlavaProcessor(config as LlavaConfig, store),
  positions: (_config, inputs) => sequentialPositions(inputs),
};
