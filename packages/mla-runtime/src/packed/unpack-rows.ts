import { halfValues } from '@mha2mla/kv-quant';
import { type PackedWeight, VALUES_A_WORD } from '../webgpu/weight-format';

/**
 * The values of some rows of a packed weight, one after another.
 * @param rows which, in any order.
 * @returns [rows, inputs].
 */
export function unpackRows(weight: PackedWeight, rows: Iterable<number>): Float32Array {
  const list = rows instanceof Int32Array ? rows : Int32Array.from(rows);
  const values = new Float32Array(list.length * weight.inputs);
  const unpack = weight.format === 'f16' || weight.format === 'f32' ? unpackFloats : unpackCodes;
  for (let i = 0; i < list.length; i++) unpack(weight, list[i]!, values, i * weight.inputs);
  return values;
}

/** One row into `values` from `to` on. */
function unpackCodes(
  { format, inputs, words, scales, groupSize }: PackedWeight,
  row: number,
  values: Float32Array,
  to: number,
): void {
  const perWord = VALUES_A_WORD[format];
  const bits = 32 / perWord;
  let word = row * Math.ceil(inputs / perWord);
  let group = row * Math.ceil(inputs / groupSize);
  for (let start = 0; start < inputs; start += groupSize) {
    const scale = scales[group++]!;
    const end = to + Math.min(start + groupSize, inputs);
    for (let first = to + start; first < end; first += perWord) {
      const codes = words[word++]!;
      const last = Math.min(first + perWord, end);
      for (let i = first, left = 32 - bits; i < last; i++, left -= bits) {
        values[i] = ((codes << left) >> (32 - bits)) * scale; // the shift back extends the sign
      }
    }
  }
}

function unpackFloats(
  { format, inputs, words }: PackedWeight,
  row: number,
  values: Float32Array,
  to: number,
): void {
  if (format === 'f32') {
    const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
    values.set(floats.subarray(row * inputs, (row + 1) * inputs), to);
    return;
  }
  const table = halfValues();
  const word = row * Math.ceil(inputs / 2);
  for (let i = 0; i < inputs; i++) {
    values[to + i] = table[(words[word + (i >> 1)]! >>> (16 * (i & 1))) & 0xffff]!;
  }
}
