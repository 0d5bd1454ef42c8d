/** What a shard showed of a layer, as plain values and back. */
import { SecondMoment } from '@mha2mla/lowrank';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import { AttentionMoments } from '../convert/attention-moments';
import type { LayerCalibration } from '../convert/calibrate-layer';
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

/** @throws RangeError for what is no statistics of the model's. */
export function restoreStatistics(
  config: DecoderConfig,
  stored: StoredStatistics,
): LayerCalibration {
  const { samples, vision, text, attention, residual } = assertObject('statistics', stored);
  const { hiddenSize, headDim, numAttentionHeads } = config;
  must(Array.isArray(samples), 'samples', 'be a list');
  for (const sample of samples) checkSample(config, assertObject('a sample', sample));
  if (residual) {
    const { sum, count } = assertObject('a residual', residual);
    must(sum >= 0 && isCount(count), 'a residual', 'have a sum and a count');
  }
  let restored: AttentionMoments | undefined;
  if (attention) {
    restored = new AttentionMoments(config);
    const { queries, effect, mass } = assertObject('attention', attention);
    must(Array.isArray(queries), 'queries', 'be a list');
    must(queries.length === numAttentionHeads, 'queries', `be of ${numAttentionHeads} heads`);
    for (const [head, moment] of restored.queries.entries()) {
      moment.merge(restoreMoment(headDim, queries[head]!));
    }
    checkArray('effect', effect, Float64Array, numAttentionHeads);
    checkArray('mass', mass, Float64Array, numAttentionHeads);
    restored.addEffects({ effect, mass });
  }
  return {
    samples,
    inputs: [],
    moments: {
      vision: vision ? restoreMoment(hiddenSize, vision) : new SecondMoment(hiddenSize),
      text: text ? restoreMoment(hiddenSize, text) : new SecondMoment(hiddenSize),
    },
    attention: restored,
  };
}

function storeMoment({ sum, first, count }: SecondMoment): StoredMoment {
  return { sum: Float32Array.from(sum), first: Float32Array.from(first), count };
}

function restoreMoment(dim: number, stored: StoredMoment): SecondMoment {
  const { sum, first, count } = assertObject('a moment', stored);
  checkArray('the sum of a moment', sum, Float32Array, dim * dim);
  checkArray('first of a moment', first, Float32Array, dim);
  must(isCount(count), 'a moment', 'have a count');
  const moment = new SecondMoment(dim);
  moment.sum.set(sum);
  moment.first.set(first);
  moment.count = count;
  return moment;
}

/** The lengths that {@link AttentionSample} tells, and no column beyond the keys. */
function checkSample(config: DecoderConfig, sample: AttentionSample): void {
  const { numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim } = config;
  const half = headDim / 2;
  const { query, key, queryCos, querySin, keyCos, keySin } = sample;
  const { rowColumn, rowIsVision, keyMask, keyIsVision } = sample;
  must(rowColumn instanceof Int32Array, 'rowColumn', 'be I32');
  must(keyCos instanceof Float32Array, 'keyCos', 'be F32');
  const [rows, keys] = [rowColumn.length, keyCos.length / half]; // L and T
  must(
    rowColumn.every((column) => column >= 0 && column < keys),
    'rowColumn',
    `lie within ${keys} keys`,
  );
  checkArray('query', query, Float32Array, heads * rows * headDim);
  checkArray('key', key, Float32Array, kvHeads * keys * headDim);
  checkArray('queryCos', queryCos, Float32Array, rows * half);
  checkArray('querySin', querySin, Float32Array, rows * half);
  checkArray('keySin', keySin, Float32Array, keys * half);
  checkArray('rowIsVision', rowIsVision, Uint8Array, rows);
  if (keyMask) checkArray('keyMask', keyMask, Uint8Array, keys);
  if (keyIsVision) checkArray('keyIsVision', keyIsVision, Uint8Array, keys);
}

function checkArray<T extends { length: number }>(
  name: string,
  value: unknown,
  type: new (length: number) => T,
  length: number,
): void {
  const got = value instanceof type ? `${value.length}` : 'another kind';
  must(got === `${length}`, name, `be ${length} of ${type.name}`, got);
}

function assertObject<T>(name: string, value: T): T {
  must(typeof value === 'object' && value !== null, name, 'be an object');
  return value;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function must(ok: boolean, name: string, expected: string, got = 'another'): void {
  if (!ok) throw new RangeError(`restoreStatistics: ${name} must ${expected}, got ${got}.`);
}
