import { concatWords } from './kernels/concat-words';
import { PackedTensor } from './packed-tensor';

/**
 * Join two packed tensors along an axis of tokens. Words are copied, nothing is quantized again:
 * joining what was quantized apart gives the bytes of quantizing it at once.
 * @param a [..., channels]. Not disposed.
 * @param b as a, but for the size of `axis`. Not disposed.
 * @param axis from 0 to rank - 2; the last axis is the one that groups run along.
 * @returns the packed tensor, the caller disposes it.
 * @throws RangeError if bits, groupSize or shapes do not fit, or the axis is none of those.
 */
export function concatPacked(a: PackedTensor, b: PackedTensor, axis: number): PackedTensor {
  const rank = a.shape.length;
  if (rank < 2) {
    throw new RangeError(`concatPacked: a packed vector has no axis of tokens, got [${a.shape}].`);
  }
  if (!Number.isInteger(axis) || axis < 0 || axis > rank - 2) {
    throw new RangeError(
      `concatPacked: axis must be a whole number from 0 to ${rank - 2} (not the last axis of [${a.shape}]), got axis=${axis}.`,
    );
  }
  const grouped = a.bits === 16 || a.groupSize === b.groupSize;
  if (a.bits !== b.bits || !grouped) {
    throw new RangeError(
      `concatPacked: both must have bits=${a.bits}, groupSize=${a.groupSize}, got bits=${b.bits}, groupSize=${b.groupSize}.`,
    );
  }
  if (rank !== b.shape.length || a.shape.some((size, i) => i !== axis && size !== b.shape[i])) {
    throw new RangeError(
      `concatPacked: shapes must be equal but for axis ${axis}, got [${a.shape}] and [${b.shape}].`,
    );
  }
  const shape = a.shape.map((size, i) => (i === axis ? size + b.shape[i]! : size));
  const codes = concatWords(a.codes, b.codes, axis);
  const params = a.params && b.params && concatWords(a.params, b.params, axis);
  return new PackedTensor(shape, a, codes, params);
}
