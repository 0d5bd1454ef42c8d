/**
 * Rows of a weight that is stored as integers, into the packed form as they are: an integer becomes a
 * code by a change of its highest bit, which takes half of what it can be from it and from its zero
 * point. What they stand for stays, to the bit.
 */
import { type PackedWeight, VALUES_A_WORD } from '../webgpu/weight-format';
import type { WeightPacking } from './packed-matrix';

/** Values `(integer − zero) · scale` of whole rows, integers and zeros from 0 on. */
export interface StoredRows {
  /** [rows, ceil(inputs · bits / 32)], the first input's bits lowest. */
  words: Uint32Array<ArrayBuffer>;
  /** [rows, groups] */
  zeros: Uint8Array;
  /** [rows, groups], of 16 significant bits at most, as halves and bfloat16 have them. */
  scales: Float32Array<ArrayBuffer>;
}

/**
 * @param stored rows, whose arrays become those of the result.
 * @throws RangeError for a scale that has no room for a zero point
 */
export function takeOver(
  { words, zeros, scales }: StoredRows,
  [outputs, inputs]: readonly [number, number],
  { format, groupSize }: WeightPacking,
): PackedWeight {
  const bits = 32 / VALUES_A_WORD[format];
  const flips = bits === 4 ? 0x88888888 : 0x80808080;
  for (let i = 0; i < words.length; i++) words[i]! ^= flips;
  const joined = new Uint32Array(scales.buffer, scales.byteOffset, scales.length);
  for (let i = 0; i < joined.length; i++) {
    if ((joined[i]! & 0xff) !== 0) {
      throw new RangeError(
        `takeOver: scales must have at most 16 significant bits, got ${scales[i]}.`,
      );
    }
    joined[i]! |= (zeros[i]! - 2 ** (bits - 1)) & 0xff;
  }
  return { format, groupSize, zeroPoints: true, inputs, outputs, words, scales };
}
