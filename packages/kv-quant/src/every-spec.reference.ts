/** One spec of each method, width and axis, in groups that fill no word, for tests of laws of all. */
import type { QuantSpec } from './quant-spec';

const grouped = (['affine', 'hqq'] as const).flatMap((method) =>
  ([2, 3, 4, 8] as const).flatMap((bits) =>
    (['token', 'channel'] as const).map((axis) => ({ method, bits, axis, groupSize: 5 })),
  ),
);

const rotated = ([2, 3, 4] as const).flatMap((bits) =>
  (['hadamard', 'none'] as const).map((rotation) => ({
    method: 'lloyd-max' as const,
    bits,
    rotation,
    groupSize: 12,
  })),
);

export const EVERY_SPEC: QuantSpec[] = [
  ...grouped,
  ...rotated,
  { method: 'lloyd-max', bits: 4 },
  { method: 'int8', groupSize: 5 },
  { method: 'int8' },
  { method: 'half' },
];

/** A name for the title of a test. */
export function specName(spec: QuantSpec): string {
  return Object.values(spec).join(' ');
}

/** As `test.each` takes them. */
export const NAMED_SPECS = EVERY_SPEC.map((spec) => [specName(spec), spec] as const);
