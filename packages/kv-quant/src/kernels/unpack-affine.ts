/**
 * Kernel `UnpackAffine`: code * scale + zero, rounded once (the product is exact in f32). It runs on
 * every block at every decode step: where groups begin at a word, codes go straight to values, which
 * takes half the time of a row of codes in between.
 */
import type { PackedLayout } from '../packed-layout';
import { unpackCodes } from './code-words';
import { halfValues } from './half-float';
import { unpackOp } from './pack-kernel';

export const unpackAffine = unpackOp('UnpackAffine', (words, params, layout, values) => {
  if (layout.axis === 'token') unpackTokenGroups(words, params, layout, values);
  else unpackChannelGroups(words, params, layout, values);
});

function unpackTokenGroups(
  words: Int32Array,
  params: Int32Array,
  { bits, channels, groupSize, words: rowWords }: PackedLayout,
  values: Float32Array,
): void {
  const table = halfValues();
  const codes = new Uint8Array(channels);
  const perWord = 32 / bits;
  const aligned = (bits === 4 || bits === 8) && groupSize % perWord === 0;
  const unpackWords = aligned ? (bits === 4 ? unpackNibbles : unpackBytes) : undefined;
  const apart = !aligned || channels % perWord !== 0; // some codes are not of whole words
  let param = 0;
  for (let row = 0, word = 0; row < values.length; row += channels, word += rowWords) {
    if (apart) unpackCodes(words, word, channels, bits, codes);
    for (let first = 0; first < channels; first += groupSize) {
      const end = Math.min(first + groupSize, channels);
      const pair = params[param++]!;
      const scale = table[pair & 0xffff]!;
      const zero = table[pair >>> 16]!;
      const whole = unpackWords ? Math.floor((end - first) / perWord) : 0;
      const at = word + first / perWord;
      unpackWords?.(words, at, whole, scale, zero, values, row + first);
      for (let c = first + whole * perWord; c < end; c++) {
        values[row + c] = codes[c]! * scale + zero;
      }
    }
  }
}

type UnpackWords = (
  words: Int32Array,
  word: number,
  count: number,
  scale: number,
  zero: number,
  values: Float32Array,
  to: number,
) => void;

/** 8-bit codes of `count` words, from `word` on, into values from `to` on. */
const unpackBytes: UnpackWords = (words, word, count, scale, zero, values, to) => {
  for (let w = word, o = to; w < word + count; w++, o += 4) {
    const code = words[w]!;
    values[o] = (code & 255) * scale + zero;
    values[o + 1] = ((code >>> 8) & 255) * scale + zero;
    values[o + 2] = ((code >>> 16) & 255) * scale + zero;
    values[o + 3] = (code >>> 24) * scale + zero;
  }
};

/** 4-bit codes, as `unpackBytes`. */
const unpackNibbles: UnpackWords = (words, word, count, scale, zero, values, to) => {
  for (let w = word, o = to; w < word + count; w++, o += 8) {
    const code = words[w]!;
    values[o] = (code & 15) * scale + zero;
    values[o + 1] = ((code >>> 4) & 15) * scale + zero;
    values[o + 2] = ((code >>> 8) & 15) * scale + zero;
    values[o + 3] = ((code >>> 12) & 15) * scale + zero;
    values[o + 4] = ((code >>> 16) & 15) * scale + zero;
    values[o + 5] = ((code >>> 20) & 15) * scale + zero;
    values[o + 6] = ((code >>> 24) & 15) * scale + zero;
    values[o + 7] = (code >>> 28) * scale + zero;
  }
};

function unpackChannelGroups(
  words: Int32Array,
  params: Int32Array,
  layout: PackedLayout,
  values: Float32Array,
): void {
  const { bits, channels, groupSize, tokens, paramRows } = layout;
  const table = halfValues();
  const codes = new Uint8Array(channels);
  const scales = new Float32Array(channels);
  const zeros = new Float32Array(channels);
  const rows = channels > 0 ? values.length / channels : 0;
  for (let row = 0; row < rows; row++) {
    const token = row % tokens;
    if (token % groupSize === 0) {
      const group = Math.floor(row / tokens) * paramRows + token / groupSize;
      for (let c = 0; c < channels; c++) {
        const pair = params[group * channels + c]!;
        scales[c] = table[pair & 0xffff]!;
        zeros[c] = table[pair >>> 16]!;
      }
    }
    unpackCodes(words, row * layout.words, channels, bits, codes);
    for (let c = 0, i = row * channels; c < channels; c++, i++) {
      values[i] = codes[c]! * scales[c]! + zeros[c]!;
    }
  }
}
