/**
 * Kernel `UnpackAffine`: code * scale + zero, rounded once (the product is exact in f32). It runs on
 * every block at every decode step.
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
  let param = 0;
  for (let row = 0, word = 0; row < values.length; row += channels, word += rowWords) {
    unpackCodes(words, word, channels, bits, codes);
    for (let first = 0; first < channels; first += groupSize) {
      const end = Math.min(first + groupSize, channels);
      const pair = params[param++]!;
      const scale = table[pair & 0xffff]!;
      const zero = table[pair >>> 16]!;
      for (let c = first; c < end; c++) values[row + c] = codes[c]! * scale + zero;
    }
  }
}

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
