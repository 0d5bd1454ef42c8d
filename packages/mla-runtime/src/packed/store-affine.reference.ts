/** Weights stored as GPTQ and AWQ store them, for the tests: integers and zeros from 0 on, by group. */
import { type RandomWeights, readerOf } from '../random-weights.reference';
import { VALUES_A_WORD } from '../webgpu/weight-format';
import type { WeightReader } from '../weight-reader';
import type { WeightPacking } from './packed-matrix';
import type { StoredRows } from './take-over';

type Shape = readonly [number, number];

/** @returns rows, and what they stand for in float32. */
export function storeAffine(
  values: Float32Array,
  [outputs, inputs]: Shape,
  { format, groupSize }: WeightPacking,
): { rows: StoredRows; values: Float32Array } {
  const perWord = VALUES_A_WORD[format];
  const bits = 32 / perWord;
  const width = Math.ceil(inputs / perWord);
  const groups = Math.ceil(inputs / groupSize);
  const words = new Uint32Array(outputs * width);
  const zeros = new Uint8Array(outputs * groups);
  const scales = new Float32Array(outputs * groups);
  const exact = new Float32Array(values.length);
  for (let row = 0; row < outputs; row++) {
    for (let group = 0; group < groups; group++) {
      const start = row * inputs + group * groupSize;
      const own = values.subarray(start, Math.min(start + groupSize, (row + 1) * inputs));
      const least = Math.min(0, ...own);
      const largest = 2 ** bits - 1;
      const scale = asHalf((Math.max(0, ...own) - least) / largest);
      const zero = Math.min(Math.round(-least / scale), largest);
      zeros[row * groups + group] = zero;
      scales[row * groups + group] = scale;
      for (const [i, value] of own.entries()) {
        const integer = Math.min(Math.max(Math.round(value / scale) + zero, 0), largest);
        exact[start + i] = (integer - zero) * scale;
        const input = group * groupSize + i;
        words[row * width + Math.floor(input / perWord)]! |= integer << (bits * (input % perWord));
      }
    }
  }
  return { rows: { words, zeros, scales }, values: exact };
}

/** A value of at most 11 significant bits, as halves have them. */
function asHalf(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  return new Float32Array(bits.map((word) => word & ~0x1fff).buffer)[0]!;
}

/**
 * Weights of which the matrices that `which` names are stored so.
 * @returns a reader that gives no floats of those, and all weights in floats of what is stored.
 */
export function storeWeights(
  weights: RandomWeights,
  packing: WeightPacking,
  which = /./,
): { reader: WeightReader; exact: RandomWeights } {
  const stored = new Map<string, StoredRows>();
  const exact = new Map(weights);
  for (const [name, { shape, values }] of weights) {
    if (shape.length < 2 || values.length === 0 || !which.test(name)) continue;
    const { rows, values: own } = storeAffine(values, [shape[0]!, shape[1]!], packing);
    stored.set(name, rows);
    exact.set(name, { shape, values: own });
  }
  const floats = readerOf(new Map([...weights].filter(([name]) => !stored.has(name))));
  const reader: WeightReader = {
    shape: (name) => weights.get(name)?.shape,
    read: floats.read,
    storedPacking: (name) => (stored.has(name) ? { ...packing, zeroPoints: true } : undefined),
    async readStored(name, [outputs], [first, end]) {
      const part = <T extends { length: number; slice(from: number, to: number): T }>(all: T) => {
        const width = all.length / outputs!;
        return all.slice(first * width, end * width);
      };
      const { words, zeros, scales } = stored.get(name)!;
      return { words: part(words), zeros: part(zeros), scales: part(scales) };
    },
  };
  return { reader, exact };
}
