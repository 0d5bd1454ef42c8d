/**
 * Where the parts of a packed vector lie: `words` 32-bit words of codes, then one word of scale and
 * zero point for each of `groups` groups (none at 16 bits, where a code is the value itself).
 */

export type PackedBits = 4 | 8 | 16;

export interface PackOptions {
  /** Bits of a code: 4 or 8 with a scale and a zero point a group, 16 for IEEE half precision. */
  bits: PackedBits;
  /** Consecutive channels that share a scale and a zero point; the last group may be shorter. */
  groupSize: number;
}

export interface PackedLayout extends PackOptions {
  channels: number;
  /** Words of codes a vector, ceil(channels * bits / 32). */
  words: number;
  /** Words of scale and zero point a vector, ceil(channels / groupSize); 0 at 16 bits. */
  groups: number;
}

/**
 * Lay out a vector of `channels` values.
 * @param caller name of the public function, for the messages.
 * @throws RangeError unless bits is 4, 8 or 16, groupSize is a positive integer and channels a
 * whole number.
 */
export function packedLayout(
  caller: string,
  { channels, bits, groupSize }: PackOptions & { channels: number },
): PackedLayout {
  if (bits !== 4 && bits !== 8 && bits !== 16) {
    throw new RangeError(`${caller}: bits must be 4, 8 or 16, got bits=${bits}.`);
  }
  if (!Number.isSafeInteger(groupSize) || groupSize < 1) {
    throw new RangeError(
      `${caller}: groupSize must be a positive integer, got groupSize=${groupSize}.`,
    );
  }
  if (!Number.isSafeInteger(channels) || channels < 0) {
    throw new RangeError(
      `${caller}: channels must be a whole number from 0, got channels=${channels}.`,
    );
  }
  const words = Math.ceil((channels * bits) / 32);
  const groups = bits === 16 ? 0 : Math.ceil(channels / groupSize);
  return { channels, bits, groupSize, words, groups };
}
