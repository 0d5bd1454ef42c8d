import { codeWords, type QuantSpec, resolveSpec } from './quant-spec';

/**
 * Bytes that one vector takes, scales and zero points included: a `PackedTensor` of n vectors, whose
 * groups are whole, allocates exactly n times as many. Groups of tokens share, so this may be a
 * fraction.
 * @param channels of the vector.
 * @throws RangeError as `quantize` does.
 */
export function bytesPerToken(spec: QuantSpec, channels: number): number {
  const resolved = resolveSpec('bytesPerToken', spec, channels);
  const { axis, groupSize } = resolved;
  const words = codeWords(resolved, channels);
  if (groupSize === 0) return 4 * words; // no groups, or no channels
  const params = axis === 'token' ? Math.ceil(channels / groupSize) : channels / groupSize;
  return 4 * (words + params);
}
