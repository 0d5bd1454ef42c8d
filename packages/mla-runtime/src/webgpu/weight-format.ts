/**
 * Weights of matrix-vector products: rows of inputs, [outputs, inputs], each row in whole words. f16
 * needs no feature of the device. int8 and int4 have a scale for `groupSize` inputs of a row; those
 * that were stored with zero points keep a group's, from -128 to 127, in the low byte of its scale:
 * halves and bfloat16 have nothing there.
 */
import { nearestHalf } from '@mha2mla/kv-quant';

/** Formats that matrices may be kept in. */
export const WEIGHT_FORMATS = ['f32', 'f16', 'int8', 'int4'] as const;
/** A member of `WEIGHT_FORMATS`. */
export type WeightFormat = (typeof WEIGHT_FORMATS)[number];

/** What the words of a row are. */
export interface PackedForm {
  format: WeightFormat;
  /** Inputs that share a scale, of int8 and int4; a multiple of 8. */
  groupSize: number;
  /** Whether the low byte of a scale is the group's zero point: a value is `(code − zero) · scale`. */
  zeroPoints?: boolean;
}

export interface PackedWeight extends PackedForm {
  inputs: number;
  outputs: number;
  /** [outputs, ceil(inputs / values a word)]. */
  words: Uint32Array<ArrayBuffer>;
  /** [outputs, ceil(inputs / groupSize)]; empty for f32 and f16. */
  scales: Float32Array<ArrayBuffer>;
}

/** Values that a word holds. */
export const VALUES_A_WORD: Record<WeightFormat, number> = { f32: 1, f16: 2, int8: 4, int4: 8 };

/** Words and scales of a row. */
export function rowSizes({
  format,
  inputs,
  groupSize,
}: Pick<PackedWeight, 'format' | 'inputs' | 'groupSize'>): { words: number; scales: number } {
  return {
    words: Math.ceil(inputs / VALUES_A_WORD[format]),
    scales: isIntegerFormat(format) ? Math.ceil(inputs / groupSize) : 0,
  };
}

/** Whether the same programs read both. */
export function isSameForm(a: PackedForm, b: PackedForm): boolean {
  return a.format === b.format && a.groupSize === b.groupSize && !a.zeroPoints === !b.zeroPoints;
}

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
  const words = new Uint32Array(outputs * Math.ceil(inputs / VALUES_A_WORD[format]));
  const scales = isIntegerFormat(format) ? rowScales(values, inputs, format, groupSize) : [];
  const packed = { format, inputs, outputs, words, scales: Float32Array.from(scales), groupSize };
  if (inputs > 0) fillWords(values, packed);
  return packed;
}

/** Seven billion values pass here, so that a word is made whole, and its scale looked up once. */
function fillWords(
  values: Float32Array,
  { format, inputs, outputs, words, scales, groupSize }: PackedWeight,
): void {
  if (format === 'f32') {
    words.set(new Uint32Array(values.buffer, values.byteOffset, values.length));
    return;
  }
  const perWord = VALUES_A_WORD[format];
  const bits = 32 / perWord;
  const mask = 2 ** bits - 1;
  let at = 0;
  let group = 0;
  for (let row = 0; row < outputs; row++) {
    for (let start = 0; start < inputs; start += groupSize) {
      const end = Math.min(start + groupSize, inputs);
      const scale = scales[group++] ?? 1;
      for (let first = start; first < end; first += perWord) {
        const last = row * inputs + Math.min(first + perWord, end);
        let word = 0;
        for (let i = row * inputs + first, shift = 0; i < last; i++, shift += bits) {
          const value = values[i]!;
          const code =
            format === 'f16' ? clampedHalf(value) : scale === 0 ? 0 : Math.round(value / scale);
          word |= (code & mask) << shift; // two's complement of negative codes is left to the mask
        }
        words[at++] = word;
      }
    }
  }
}

/** Whether values are codes times a scale. */
export function isIntegerFormat(format: WeightFormat): format is 'int8' | 'int4' {
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
      const end = row + Math.min(start + groupSize, inputs);
      let largest = 0;
      for (let i = row + start; i < end; i++) largest = Math.max(largest, Math.abs(values[i]!));
      scales.push(Math.fround(largest / LARGEST[format]));
    }
  }
  return scales;
}

/** The largest half: what is beyond becomes no infinity. */
const MAX_HALF = 65504;

function clampedHalf(value: number): number {
  return nearestHalf(Math.min(Math.max(value, -MAX_HALF), MAX_HALF));
}
