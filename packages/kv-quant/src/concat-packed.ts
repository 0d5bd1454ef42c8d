import { concatWords } from './kernels/concat-words';
import { packedLayout } from './packed-layout';
import { PackedTensor } from './packed-tensor';
import type { StaticSpec } from './static-spec';

/**
 * Join two packed tensors. Words are copied, nothing is quantized again: joining what was quantized
 * apart gives the bytes of quantizing it at once.
 * @param a [..., T, C]. Not disposed.
 * @param b as a, but for the size of `axis`. Not disposed.
 * @param axis from 0 to rank - 2; default that of the tokens, rank - 2.
 * @returns the packed tensor, the caller disposes it.
 * @throws RangeError if specs or shapes do not fit, the axis is none of those, or tokens are joined
 * to a last group of tokens that is not full.
 */
export function concatPacked(
  a: PackedTensor,
  b: PackedTensor,
  axis = a.shape.length - 2,
): PackedTensor {
  const rank = a.shape.length;
  if (rank < 2) {
    throw new RangeError(`concatPacked: a packed vector has no axis of tokens, got [${a.shape}].`);
  }
  if (!Number.isInteger(axis) || axis < 0 || axis > rank - 2) {
    throw new RangeError(
      `concatPacked: axis must be a whole number from 0 to ${rank - 2} (not the last axis of [${a.shape}]), got axis=${axis}.`,
    );
  }
  if (rank !== b.shape.length || a.shape.some((size, i) => i !== axis && size !== b.shape[i])) {
    throw new RangeError(
      `concatPacked: shapes must be equal but for axis ${axis}, got [${a.shape}] and [${b.shape}].`,
    );
  }
  const layout = packedLayout('concatPacked', a.spec, a.shape);
  const other = packedLayout('concatPacked', b.spec, b.shape);
  for (const key of ['method', 'bits', 'axis', 'groupSize', 'rotation'] as const) {
    if (layout[key] !== other[key]) {
      throw new RangeError(
        `concatPacked: both must have ${key}=${layout[key]}, got ${key}=${other[key]}.`,
      );
    }
  }
  if (!sameTable(layout.table, other.table)) {
    throw new RangeError('concatPacked: both must have the same static scales, got two tables.');
  }
  if (layout.table && layout.table.scales.length > layout.channels && axis === rank - 3) {
    throw new RangeError(
      `concatPacked: axis must not be that of the heads that static scales are of, got axis=${axis}.`,
    );
  }
  const { axis: along, groupSize, tokens } = layout;
  if (along === 'channel' && axis === rank - 2 && tokens % groupSize !== 0) {
    throw new RangeError(
      `concatPacked: groups of tokens must be full to be joined, got ${tokens} tokens in groups of ${groupSize}. Append whole groups, as QuantizedCache does.`,
    );
  }
  const shape = a.shape.map((size, i) => (i === axis ? size + b.shape[i]! : size));
  const codes = concatWords(a.codes, b.codes, axis);
  const params = a.params && b.params && concatWords(a.params, b.params, axis);
  return new PackedTensor(shape, a.spec, codes, params);
}

function sameTable(a: StaticSpec | undefined, b: StaticSpec | undefined): boolean {
  if (!a || !b || (a.bands === b.bands && a.scales === b.scales && a.zeros === b.zeros)) {
    return !a === !b;
  }
  const values = ({ bands, scales, zeros }: StaticSpec) => [
    ...bands.flatMap(({ bits, channels }) => [bits, channels]),
    ...scales,
    ...zeros,
  ];
  return values(a).join() === values(b).join();
}
