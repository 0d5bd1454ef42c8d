/**
 * Weights of matrix-vector products: rows of inputs, [outputs, inputs], each row in whole words. f16
 * needs no feature of the device. int8 and int4 have a scale for `groupSize` inputs of a row.
 */

import { nearestHalf } from '@mha2mla/kv-quant';

export type WeightFormat = 'f32' | 'f16' | 'int8' | 'int4';

export interface PackedWeight {
  format: WeightFormat;
  inputs: number;
  outputs: number;
  /** [outputs, ceil(inputs / values a word)]. */
  words: Uint32Array<ArrayBuffer>;
  /** [outputs, ceil(inputs / groupSize)]; empty for f32 and f16. */
  scales: Float32Array<ArrayBuffer>;
  groupSize: number;
}

/** Values that a word holds. */
export const VALUES_A_WORD: Record<WeightFormat, number> = { f32: 1, f16: 2, int8: 4, int4: 8 };

/** The largest code: int8 from -127, int4 from -7, so that a scale fits both signs. */
const LARGEST = { int8: 127, int4: 7 };

/**
 * @param values [outputs, inputs].
 * @param groupSize a multiple of 8; of f32 and f16 it says nothing.
 * @throws RangeError for another number of values, or another group size.
 */
export function packWeight(
  values: Float32Array,
  [outputs, inputs]: readonly [number, number],
  format: WeightFormat,
  groupSize = 32,
): PackedWeight {
  if (values.length !== outputs * inputs) {
    throw new RangeError(
      `packWeight: values must hold ${outputs} x ${inputs}, got ${values.length}.`,
    );
  }
  if (!Number.isSafeInteger(groupSize) || groupSize < 8 || groupSize % 8 !== 0) {
    throw new RangeError(`packWeight: groupSize must be a multiple of 8, got ${groupSize}.`);
  }
  const perWord = VALUES_A_WORD[format];
  const rowWords = Math.ceil(inputs / perWord);
  const words = new Uint32Array(outputs * rowWords);
  const scales = isInteger(format) ? rowScales(values, inputs, format, groupSize) : [];
  const groups = Math.ceil(inputs / groupSize);
  const bits = 32 / perWord;
  const mask = 2 ** bits - 1;
  for (let i = 0; i < values.length; i++) {
    const [row, column] = [Math.floor(i / inputs), i % inputs];
    const scale = scales[row * groups + Math.floor(column / groupSize)] ?? 1;
    const at = row * rowWords + Math.floor(column / perWord);
    const code = codeOf(values[i]!, scale, format);
    words[at]! |= (code & mask) << (bits * (column % perWord));
  }
  return { format, inputs, outputs, words, scales: Float32Array.from(scales), groupSize };
}

function isInteger(format: WeightFormat): format is 'int8' | 'int4' {
  return format === 'int8' || format === 'int4';
}

/** Largest magnitude of each group over the largest code; 0 for a group of zeros. */
function rowScales(
  values: Float32Array,
  inputs: number,
  format: 'int8' | 'int4',
  groupSize: number,
): number[] {
  const scales: number[] = [];
  for (let row = 0; row < values.length; row += inputs) {
    for (let start = 0; start < inputs; start += groupSize) {
      const group = values.subarray(row + start, row + Math.min(start + groupSize, inputs));
      const largest = group.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      scales.push(Math.fround(largest / LARGEST[format]));
    }
  }
  return scales;
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);
/** The largest half: what is beyond becomes no infinity. */
const MAX_HALF = 65504;

/** Two's complement of int8 and int4 is left to the mask. */
function codeOf(value: number, scale: number, format: WeightFormat): number {
  if (isInteger(format)) return scale === 0 ? 0 : Math.round(value / scale);
  if (format === 'f16') return nearestHalf(Math.min(Math.max(value, -MAX_HALF), MAX_HALF));
  float[0] = value;
  return floatBits[0]!;
}
