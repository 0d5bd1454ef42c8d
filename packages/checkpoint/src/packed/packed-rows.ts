/** Where the integers of a packed matrix lie, put in the order of its rows. */
import type { PackedMatrix } from './packed-matrix';
import type { Packing } from './packing';
import type { PackedValues } from './read-packed';

/** Rows of `(integer − zero) · scale`, as they are stored but for their order. */
export interface PackedRows {
  /** [rows, ceil(I · bits / 32)], the first input's bits lowest. */
  words: Uint32Array<ArrayBuffer>;
  /** [rows, G] */
  zeros: Uint8Array;
  /** [rows, G] */
  scales: Float32Array<ArrayBuffer>;
}

/** Which of the eight places of a word has an output's 4 bits: AWQ interleaves them. */
const AWQ_PLACES = [0, 4, 1, 5, 2, 6, 3, 7];

/** Rows [first, end) of the matrix. */
export function packedRows(
  matrix: PackedMatrix,
  packing: Packing,
  values: Omit<PackedValues, 'groupOf'>,
  [first, end]: readonly [number, number],
): PackedRows {
  const { outputs, groups } = matrix;
  const { bits, zeroOffset } = packing;
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  const columns = outputs / perWord;
  const zeros = new Uint8Array((end - first) * groups);
  const scales = new Float32Array((end - first) * groups);
  for (let output = first, at = 0; output < end; output++) {
    const column = Math.floor(output / perWord);
    const shift = shiftOf(packing, output);
    for (let group = 0; group < groups; group++, at++) {
      const stored = values.qzeros[group * columns + column]! >>> shift;
      // Of the bits' width after the offset, too: AutoGPTQ masks the sum.
      zeros[at] = (stored + zeroOffset) & mask;
      scales[at] = values.scales[group * outputs + output]!;
    }
  }
  const gather = packing.method === 'awq' ? gatherInputs : gatherWords;
  return { words: gather(matrix, packing, values.qweight, [first, end]), zeros, scales };
}

/** Where in a word of several outputs one of them starts. */
function shiftOf({ method, bits }: Packing, output: number): number {
  const place = output % (32 / bits);
  return bits * (method === 'awq' ? AWQ_PLACES[place]! : place);
}

type Gather = (
  matrix: PackedMatrix,
  packing: Packing,
  qweight: Int32Array,
  rows: readonly [number, number],
) => Uint32Array<ArrayBuffer>;

/** GPTQ: words of inputs already, one output after another. */
const gatherWords: Gather = ({ inputs, outputs }, { bits }, qweight, [first, end]) => {
  const width = Math.ceil((inputs * bits) / 32);
  const words = new Uint32Array((end - first) * width);
  for (let w = 0; w < width; w++) {
    for (let row = first, at = w; row < end; row++, at += width) {
      words[at] = qweight[w * outputs + row]!;
    }
  }
  return words;
};

/** AWQ: words of outputs, one input after another. */
const gatherInputs: Gather = ({ inputs, outputs }, packing, qweight, [first, end]) => {
  const { bits } = packing;
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  const columns = outputs / perWord;
  const shifts = Int32Array.from({ length: perWord }, (_, output) => shiftOf(packing, output));
  const width = Math.ceil(inputs / perWord);
  const words = new Uint32Array((end - first) * width);
  for (let w = 0; w < width; w++) {
    const begin = w * perWord;
    const count = Math.min(perWord, inputs - begin);
    for (let row = first, at = w; row < end; row++, at += width) {
      const shift = shifts[row % perWord]!;
      let from = begin * columns + Math.floor(row / perWord);
      let word = 0;
      for (let k = 0; k < count; k++, from += columns) {
        word |= ((qweight[from]! >>> shift) & mask) << (bits * k);
      }
      words[at] = word;
    }
  }
  return words;
};
