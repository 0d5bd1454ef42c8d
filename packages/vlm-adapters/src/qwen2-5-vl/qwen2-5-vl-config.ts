/** config.json of Qwen2.5-VL, flat (transformers 4.51) or with `text_config` (5). */
import {
  CheckpointError,
  configInteger,
  configIntegers,
  configNumber,
  configRecord,
  configValue,
  type ModelConfig,
  showJson,
} from '@mha2mla/checkpoint';
import { rotaryFrequencies } from '@mha2mla/mla-runtime';
import { decoderConfig } from '../decoder-config';
import type { VlmConfig } from '../family';
import { authoredFrequencies } from '../rotary-precision';
import { type Activation, activation } from '../vision/activations';

export interface Qwen25VisionConfig {
  depth: number;
  hiddenSize: number;
  intermediateSize: number;
  numHeads: number;
  patchSize: number;
  temporalPatchSize: number;
  spatialMergeSize: number;
  /** Side of an attention window in merged patches. */
  windowSide: number;
  /** Blocks in which a picture attends to all of itself. */
  fullAttentionBlocks: readonly number[];
  hiddenAct: Activation;
  /** Of rows and columns alike, a quarter of a head's dims. */
  rotaryFrequencies: Float32Array;
}

export interface Qwen25VlConfig extends VlmConfig {
  readonly videoTokenId: number;
  readonly vision: Qwen25VisionConfig;
  /** Positions on the time axis that a second of video takes. */
  readonly tokensPerSecond: number;
}

/** Qwen2_5_VLConfig's own token ids, which published configs repeat. */
const TOKENS = { video: 151656, visionStart: 151652, visionEnd: 151653 };

/** Base of the tower's rotary frequencies, fixed in the original's code. */
const ROTARY_BASE = 10_000;

/** @throws CheckpointError or RangeError for values out of range or not supported. */
export function parseQwen25VlConfig(config: ModelConfig): Qwen25VlConfig {
  const { imageTokenId, videoTokenId = TOKENS.video, text } = config;
  const { visionStartTokenId = TOKENS.visionStart, visionEndTokenId = TOKENS.visionEnd } = config;
  if (!text.mropeSection) {
    throw new CheckpointError(
      'bad-config',
      'parseQwen25VlConfig: rope_scaling.mrope_section must list the pairs of t, h and w, got none.',
    );
  }
  if (imageTokenId === videoTokenId) {
    throw new RangeError(
      `parseQwen25VlConfig: image_token_id and video_token_id must differ, got ${imageTokenId} twice.`,
    );
  }
  return {
    decoder: decoderConfig(config),
    imageTokenId,
    videoTokenId,
    visionTokenIds: [imageTokenId, videoTokenId, visionStartTokenId, visionEndTokenId],
    eosTokenIds: text.eosTokenIds,
    padTokenId: text.padTokenId,
    vision: parseVision(config),
    // Published models have 2 and 25; a time axis of a thousand a second would leave float32.
    tokensPerSecond: configNumber(config.vision, 'tokens_per_second', {
      min: 0,
      max: 1000,
      default: 4,
    }),
    source: config,
  };
}

/** The class's defaults stand for keys that are left out. */
function parseVision(model: ModelConfig): Qwen25VisionConfig {
  const { vision, text } = model;
  // The published tower is 1280 wide with 32 blocks; caps are far beyond any of its kind.
  const integer = (key: string, max: number, fallback: number) =>
    configInteger(vision, key, { min: 1, max, default: fallback });
  const config = {
    depth: integer('depth', 512, 32),
    hiddenSize: integer('hidden_size', 16_384, 3584),
    intermediateSize: integer('intermediate_size', 131_072, 3420),
    numHeads: integer('num_heads', 512, 16),
    patchSize: integer('patch_size', 512, 14),
    temporalPatchSize: integer('temporal_patch_size', 16, 2),
    spatialMergeSize: integer('spatial_merge_size', 16, 2),
    hiddenAct: activation(vision.hidden_act ?? 'silu'),
  };
  const windowSize = integer('window_size', 65_536, 112);
  // Rotary pairs are split between rows and columns, half of a head's pairs each.
  assertFits(config.hiddenSize % (4 * config.numHeads) === 0, 'hidden_size', config.hiddenSize, {
    must: `be a multiple of 4 * num_heads (${4 * config.numHeads})`,
  });
  const channels = configValue(vision, 'in_channels') ?? configValue(vision, 'in_chans') ?? 3;
  assertFits(channels === 3, 'in_channels', channels, { must: 'be 3' });
  const outWidth = integer('out_hidden_size', 65_536, 3584);
  assertFits(outWidth === text.hiddenSize, 'out_hidden_size', outWidth, {
    must: `be the language model's hidden_size (${text.hiddenSize})`,
  });
  const theta = configRecord(vision, 'rope_parameters')?.rope_theta ?? ROTARY_BASE;
  assertFits(theta === ROTARY_BASE, 'rope_parameters.rope_theta', theta, {
    must: `be ${ROTARY_BASE}`,
  });
  return {
    ...config,
    windowSide: windowSideOf(windowSize, config),
    rotaryFrequencies: authoredFrequencies(
      rotaryFrequencies({
        headDim: config.hiddenSize / config.numHeads / 2,
        ropeTheta: ROTARY_BASE,
      }),
      model,
    ),
    fullAttentionBlocks:
      configValue(vision, 'fullatt_block_indexes') === undefined
        ? [7, 15, 23, 31]
        : configIntegers(vision, 'fullatt_block_indexes', { min: 0, max: 511, length: 512 }),
  };
}

function windowSideOf(
  windowSize: number,
  { spatialMergeSize, patchSize }: Pick<Qwen25VisionConfig, 'spatialMergeSize' | 'patchSize'>,
): number {
  const side = Math.floor(windowSize / (spatialMergeSize * patchSize));
  assertFits(side >= 1, 'window_size', windowSize, {
    must: `hold a merged patch (${spatialMergeSize * patchSize} pixels)`,
  });
  return side;
}

function assertFits(holds: boolean, key: string, value: unknown, { must }: { must: string }): void {
  if (holds) return;
  throw new RangeError(
    `parseQwen25VlConfig: vision_config.${key} must ${must}, got ${showJson(value)}.`,
  );
}
