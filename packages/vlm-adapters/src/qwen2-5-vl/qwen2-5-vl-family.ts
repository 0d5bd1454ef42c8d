/** Qwen2.5-VL (Bai et al. 2025): pictures of any size and videos, a Qwen2.5 decoder with M-RoPE. */
import type { VlmFamily } from '../family';
import { loadQwen25VlVision } from './load-qwen2-5-vl-vision';
import type { VideoPositions } from './mrope-media';
import { mropePositions } from './mrope-positions';
import { loadQwen25VlProcessor } from './processor/load-qwen2-5-vl-processor';
import { parseQwen25VlConfig, type Qwen25VlConfig } from './qwen2-5-vl-config';
import { qwen25TowerTensors } from './qwen2-5-vl-tower';
import { qwen25VlStoredNames } from './stored-names';

/** Options of `createQwen25Vl`. */
export interface Qwen25VlOptions {
  /** Default `transformers-4.51`. */
  videoPositions?: VideoPositions;
}

/** The family with other positions of videos than the default. */
export function createQwen25Vl({
  videoPositions = 'transformers-4.51',
}: Qwen25VlOptions = {}): VlmFamily {
  return {
    name: 'qwen2_5_vl',
    modelTypes: ['qwen2_5_vl'],
    parseConfig: parseQwen25VlConfig,
    storedNames: qwen25VlStoredNames,
    visionTensors: (config) => qwen25TowerTensors((config as Qwen25VlConfig).vision),
    loadVision: (config, weights) => loadQwen25VlVision(config as Qwen25VlConfig, weights),
    loadProcessor: (config, store) => loadQwen25VlProcessor(config as Qwen25VlConfig, store),
    positions: (config, inputs) => mropePositions(config as Qwen25VlConfig, inputs, videoPositions),
  };
}

/** Qwen2.5-VL, positions of videos as by transformers 4.51. */
export const qwen25Vl: VlmFamily = createQwen25Vl();
