/** What a shard showed of a layer, as plain values and back. */
import { SecondMoment } from '@mha2mla/lowrank';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import { AttentionMoments } from '../convert/attention-moments';
import type { LayerCalibration } from '../convert/calibrate-layer';
import type { HeadEffects } from '../convert/head-effects';
import type { ResidualSum } from '../convert/residual-scale';

/** Sums over one batch are products of the device, so f32 holds them to the bit. */
interface StoredMoment {
  sum: Float32Array;
  first: Float32Array;
  count: number;
}

export interface StoredStatistics {
  samples: AttentionSample[];
  vision?: StoredMoment;
  text?: StoredMoment;
  attention?: { queries: StoredMoment[]; effect: Float64Array; mass: Float64Array };
  /** Of the layer's input, where layers are measured. */
  residual?: ResidualSum;
}

/** @param calibration of one batch. */
export function storeStatistics(
  { samples, moments, attention }: LayerCalibration,
  residual?: ResidualSum,
): StoredStatistics {
  return {
    samples,
    // Nothing was added where none was asked for, or the batch has no such token.
    ...(moments.vision.count > 0 && { vision: storeMoment(moments.vision) }),
    ...(moments.text.count > 0 && { text: storeMoment(moments.text) }),
    ...(attention && {
      attention: { queries: attention.queries.map(storeMoment), ...attention.effects },
    }),
    residual,
  };
}

/** @throws RangeError for lengths that are not the model's. */
export function restoreStatistics(
  config: DecoderConfig,
  { samples, vision, text, attention }: StoredStatistics,
): LayerCalibration {
  const { hiddenSize, headDim } = config;
  const restored = attention && new AttentionMoments(config);
  if (attention && restored) {
    for (const [head, moment] of restored.queries.entries()) {
      moment.merge(restoreMoment(headDim, attention.queries[head]));
    }
    restored.addEffects(checkEffects(config, attention));
  }
  return {
    samples,
    inputs: [],
    moments: {
      vision: restoreMoment(hiddenSize, vision),
      text: restoreMoment(hiddenSize, text),
    },
    attention: restored,
  };
}

function storeMoment({ sum, first, count }: SecondMoment): StoredMoment {
  return { sum: Float32Array.from(sum), first: Float32Array.from(first), count };
}

function restoreMoment(dim: number, stored: StoredMoment | undefined): SecondMoment {
  const moment = new SecondMoment(dim);
  if (!stored) return moment;
  const { sum, first, count } = stored;
  if (sum.length !== dim * dim || first.length !== dim || !(count >= 0)) {
    throw new RangeError(
      `restoreStatistics: a moment must be of ${dim} dims, got sum=[${sum.length}], first=[${first.length}].`,
    );
  }
  moment.sum.set(sum);
  moment.first.set(first);
  moment.count = count;
  return moment;
}

function checkEffects(
  { numAttentionHeads }: DecoderConfig,
  { effect, mass }: HeadEffects,
): HeadEffects {
  if (effect.length === numAttentionHeads && mass.length === numAttentionHeads) {
    return { effect, mass };
  }
  throw new RangeError(
    `restoreStatistics: effects must be of ${numAttentionHeads} heads, got ${effect.length} and ${mass.length}.`,
  );
}
