import { isIntegerFormat, VALUES_A_WORD } from '../webgpu/weight-format';
import type { WeightReader } from '../weight-reader';
import type { WeightPacking } from './packed-matrix';

/**
 * How a matrix is kept where `asked` is asked for: in the integers that it is stored as, if there are
 * some of no more bits; else as asked, packed anew.
 */
export function keptPacking(
  weights: Pick<WeightReader, 'storedPacking'>,
  name: string,
  asked: WeightPacking,
): WeightPacking {
  const stored = isIntegerFormat(asked.format) ? weights.storedPacking?.(name) : undefined;
  return stored && VALUES_A_WORD[stored.format] >= VALUES_A_WORD[asked.format] ? stored : asked;
}
