/** Kernel `UnpackHalf`: two halves a word to float32 [..., C]. */
import { halfValues } from './half-float';
import { unpackOp } from './pack-kernel';

export const unpackHalf = unpackOp('UnpackHalf', (codes, _params, { channels }, values) => {
  // As integers, so that no NaN loses its payload.
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  const table = new Int32Array(halfValues().buffer);
  let word = 0;
  for (let start = 0; start < bits.length; start += channels) {
    const end = start + channels;
    let i = start;
    for (; i + 1 < end; i += 2) {
      const pair = codes[word++]!;
      bits[i] = table[pair & 0xffff]!;
      bits[i + 1] = table[pair >>> 16]!;
    }
    if (i < end) bits[i] = table[codes[word++]! & 0xffff]!;
  }
});
