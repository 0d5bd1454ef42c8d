/** Integers of a packed matrix to floats. */
import type { PackedMatrix } from './packed-matrix';
import type { Packing } from './packing';

/** The values of a matrix's tensors, as stored. */
export interface PackedValues {
  /** GPTQ [I·bits/32, O], AWQ [I, O·bits/32]. */
  qweight: Int32Array;
  /** [G, O·bits/32] */
  qzeros: Int32Array;
  /** [G, O] */
  scales: Float32Array;
  /** [I]: the group of an input, in 0..G − 1. */
  groupOf: Int32Array;
}

/** Which of the eight places of a word has an output's 4 bits: AWQ interleaves them. */
const AWQ_PLACES = [0, 4, 1, 5, 2, 6, 3, 7];

/**
 * Rows [first, end) of the matrix: `(integer − zero) · scale`, as AutoGPTQ's `QuantLinear` and
 * AutoAWQ's `dequantize_gemm` have it.
 * @returns [end − first, I], not rounded to the scales' precision
 */
export function unpackRows(
  { inputs, outputs, groups }: PackedMatrix,
  { method, bits, zeroOffset }: Packing,
  { qweight, qzeros, scales, groupOf }: PackedValues,
  [first, end]: readonly [number, number],
): Float32Array {
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  const words = outputs / perWord;
  const out = new Float32Array((end - first) * inputs);
  const zero = new Int32Array(groups);
  const scale = new Float32Array(groups);
  for (let output = first, at = 0; output < end; output++) {
    const word = Math.floor(output / perWord);
    const place = output % perWord;
    const shift = bits * (method === 'awq' ? AWQ_PLACES[place]! : place);
    for (let group = 0; group < groups; group++) {
      const stored = qzeros[group * words + word]! >>> shift;
      // Of the bits' width after the offset, too: AutoGPTQ masks the sum.
      zero[group] = (stored + zeroOffset) & mask;
      scale[group] = scales[group * outputs + output]!;
    }
    for (let input = 0; input < inputs; input++, at++) {
      const integer =
        method === 'awq'
          ? qweight[input * words + word]! >>> shift
          : qweight[Math.floor(input / perWord) * outputs + output]! >>> (bits * (input % perWord));
      const group = groupOf[input]!;
      out[at] = ((integer & mask) - zero[group]!) * scale[group]!;
    }
  }
  return out;
}
