/** Values that a kernel of a device may get wrong. */
import { gaussian } from '@mha2mla/testing';

/** Groups of all sizes of numbers, of constants, with subnormals, zeros of both signs and NaN. */
export function hardValues(length: number, seed: number): Float32Array {
  const spreads = [1e-45, 1e-40, 1e-9, 1e-7, 1e-4, 1, 300, 7e4, 1e30];
  const offsets = [0, -0, 1, -1000, 5e4, -7e4, 2 ** -24];
  const noise = gaussian(length, seed);
  return noise.map((value, i) => {
    const block = Math.floor(i / 40) + seed;
    if (i % 97 === 96) return [Number.NaN, Number.POSITIVE_INFINITY, -0][i % 3]!;
    const offset = offsets[block % offsets.length]!;
    return i % 7 === 0 ? offset : offset + spreads[block % spreads.length]! * value;
  });
}
