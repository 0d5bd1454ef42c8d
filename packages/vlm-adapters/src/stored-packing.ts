import type { PackedRowForm } from '@mha2mla/checkpoint';
import type { WeightPacking } from '@mha2mla/mla-runtime';

/** Scales that leave room for a zero point in a float32. */
const HALVES = ['F16', 'BF16'];

/** The runtime's name for how rows are stored, if it can take them over: other widths have none. */
export function storedPacking({
  bits,
  groupSize,
  inputs,
  dtype,
}: PackedRowForm): WeightPacking | undefined {
  const format = bits === 4 ? 'int4' : bits === 8 ? 'int8' : undefined;
  // A single group may end within a word.
  const size = groupSize === inputs ? 8 * Math.ceil(inputs / 8) : groupSize;
  if (!format || size % 8 !== 0 || !HALVES.includes(dtype)) return undefined;
  return { format, groupSize: size, zeroPoints: true };
}
