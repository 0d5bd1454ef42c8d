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
  { format, inputs, words, scales: all, groupSize, zeroPoints }: PackedWeight,
  row: number,
  values: Float32Array,
  to: number,
): void {
  const perWord = VALUES_A_WORD[format];
  const unpackWords = format === 'int4' ? unpackNibbles : unpackBytes;
  let word = row * Math.ceil(inputs / perWord);
  const groups = Math.ceil(inputs / groupSize);
  const own = all.subarray(row * groups, (row + 1) * groups);
  const { scales, zeros } = zeroPoints ? splitScales(own) : { scales: own, zeros: undefined };
  for (let group = 0, start = 0; group < groups; group++, start += groupSize) {
    const size = Math.min(groupSize, inputs - start);
    const whole = Math.floor(size / perWord);
    const scale = scales[group]!;
    unpackWords(words, word, whole, scale, values, to + start);
    word += whole;
    if (whole * perWord < size) {
      const codes = words[word++]!; // a last word that is not full
      for (let k = 0; k < size - whole * perWord; k++) {
        const code = (codes << (32 - (32 / perWord) * (k + 1))) >> (32 - 32 / perWord);
        values[to + start + whole * perWord + k] = code * scale;
      }
    }
    // Exact: a code takes 8 bits, a scale that has room for a zero point 16, a float 24.
    const zero = (zeros?.[group] ?? 0) * scale;
    if (zero !== 0) for (let i = to + start; i < to + start + size; i++) values[i]! -= zero;
  }
}

/** Scales and zero points that share their words. */
function splitScales(joined: Float32Array): { scales: Float32Array; zeros: Int8Array } {
  const bits = new Uint32Array(joined.buffer, joined.byteOffset, joined.length);
  const scales = new Float32Array(bits.map((word) => word & ~0xff).buffer);
  return { scales, zeros: Int8Array.from(bits) };
}

type UnpackWords = (
  words: Uint32Array,
  word: number,
  count: number,
  scale: number,
  values: Float32Array,
  to: number,
) => void;

/** Codes of `count` words from `word` on; the shift to the right extends their sign. */
const unpackBytes: UnpackWords = (words, word, count, scale, values, to) => {
  for (let w = word, o = to; w < word + count; w++, o += 4) {
    const codes = words[w]! | 0;
    values[o] = ((codes << 24) >> 24) * scale;
    values[o + 1] = ((codes << 16) >> 24) * scale;
    values[o + 2] = ((codes << 8) >> 24) * scale;
    values[o + 3] = (codes >> 24) * scale;
  }
};

const unpackNibbles: UnpackWords = (words, word, count, scale, values, to) => {
  for (let w = word, o = to; w < word + count; w++, o += 8) {
    const codes = words[w]! | 0;
    values[o] = ((codes << 28) >> 28) * scale;
    values[o + 1] = ((codes << 24) >> 28) * scale;
    values[o + 2] = ((codes << 20) >> 28) * scale;
    values[o + 3] = ((codes << 16) >> 28) * scale;
    values[o + 4] = ((codes << 12) >> 28) * scale;
    values[o + 5] = ((codes << 8) >> 28) * scale;
    values[o + 6] = ((codes << 4) >> 28) * scale;
    values[o + 7] = (codes >> 28) * scale;
  }
};

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
