/** Integers of a packed matrix to floats. */
import type { PackedMatrix } from './packed-matrix';
import { packedRows } from './packed-rows';
import type { Packing } from './packing';
import type { PackedValues } from './read-packed';

/**
 * Rows [first, end) of the matrix: `(integer − zero) · scale`, as AutoGPTQ's `QuantLinear` and
 * AutoAWQ's `dequantize_gemm` have it.
 * @returns [end − first, I], not rounded to the scales' precision
 */
export function unpackRows(
  matrix: PackedMatrix,
  packing: Packing,
  values: PackedValues,
  rows: readonly [number, number],
): Float32Array {
  const { inputs, groups } = matrix;
  const { bits } = packing;
  const { words, zeros, scales } = packedRows(matrix, packing, values, rows);
  const perWord = 32 / bits;
  const width = Math.ceil(inputs / perWord);
  const mask = 2 ** bits - 1;
  const count = rows[1] - rows[0];
  const out = new Float32Array(count * inputs);
  for (let row = 0, at = 0; row < count; row++) {
    for (let input = 0; input < inputs; input++, at++) {
      const word = words[row * width + Math.floor(input / perWord)]!;
      const integer = (word >>> (bits * (input % perWord))) & mask;
      const group = row * groups + values.groupOf[input]!;
      out[at] = (integer - zeros[group]!) * scales[group]!;
    }
  }
  return out;
}
