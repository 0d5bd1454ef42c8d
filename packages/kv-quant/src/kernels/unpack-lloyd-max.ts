/** Kernel `UnpackLloydMax`: factor * centroid of each code, rotated back. */
import { unpackCodes } from './code-words';
import { hadamardBlocks, hadamardSigns, walshHadamardInPlace } from './hadamard';
import { floatView } from './half-float';
import { lloydMaxCentroids } from './lloyd-max-codebook';
import { unpackOp } from './pack-kernel';

export const unpackLloydMax = unpackOp('UnpackLloydMax', (words, params, layout, values) => {
  const { bits, channels, groupSize } = layout;
  const factors = floatView(params);
  const centroids = lloydMaxCentroids(bits as 2 | 3 | 4);
  const codes = new Uint8Array(channels);
  const width = Math.min(groupSize, channels);
  const signs = layout.rotation === 'hadamard' ? hadamardSigns(width) : undefined;
  let group = 0;
  for (let row = 0, word = 0; row < values.length; row += channels, word += layout.words) {
    unpackCodes(words, word, channels, bits, codes);
    for (let c = 0; c < channels; c++) values[row + c] = centroids[codes[c]!]!;
    for (let c = 0; c < channels; c += groupSize) {
      const count = Math.min(groupSize, channels - c);
      const factor = factors[group++]!;
      if (signs) rotateBack(values, row + c, count, factor, signs);
      else for (let i = row + c; i < row + c + count; i++) values[i]! *= factor;
    }
  }
});

function rotateBack(
  v: Float32Array,
  first: number,
  count: number,
  factor: number,
  signs: Int8Array,
): void {
  let at = first;
  for (const size of hadamardBlocks(count)) {
    walshHadamardInPlace(v, at, size);
    const scale = Math.fround(factor / Math.sqrt(size));
    for (let i = 0; i < size; i++) v[at + i]! *= scale * signs[i]!;
    at += size;
  }
}
