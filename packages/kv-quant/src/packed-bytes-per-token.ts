import { type PackOptions, packedLayout } from './packed-layout';

/**
 * Count the bytes that one packed vector takes, scales and zero points included: a `PackedTensor`
 * of n vectors allocates exactly n times as many.
 * @param options channels of the vector, bits of a code, channels a group.
 * @throws RangeError as `quantizeAffine` does.
 */
export function packedBytesPerToken(options: PackOptions & { channels: number }): number {
  const { words, groups } = packedLayout('packedBytesPerToken', options);
  return 4 * (words + groups);
}
