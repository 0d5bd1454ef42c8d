/** Kernel `PackHalf`: float32 [..., C] to two halves a word. */
import { halfFromFloatBits } from './half-float';
import { packOp } from './pack-kernel';

export const packHalf = packOp('PackHalf', (x, { channels }, codes) => {
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  let word = 0;
  for (let start = 0; start < x.length; start += channels) {
    const end = start + channels;
    for (let i = start; i < end; i += 2) {
      const high = i + 1 < end ? halfFromFloatBits(bits[i + 1]!) : 0;
      codes[word++] = halfFromFloatBits(bits[i]!) | (high << 16);
    }
  }
});
