/**
 * Kernel `PackLloydMax` (the TurboQuant family, arXiv 2504.19874): the group is rotated to v, code =
 * cell of v / rms(v) in the codebook of N(0, 1). The word of params is the bits of the float32
 * factor <v, q> / <q, q> of the chosen centroids q. That is the best for these codes, so never worse
 * than rms(v), and exact where all entries are of one magnitude.
 */
import { hadamardBlocks, hadamardSigns, walshHadamardInPlace } from './hadamard';
import { bitsOfFloat } from './half-float';
import { lloydMaxBorders, lloydMaxCentroids } from './lloyd-max-codebook';
import { type Group, type PackRows, packGroups, packOp } from './pack-kernel';

/** Of the NaN that JavaScript writes; arithmetic may set its sign. */
const NAN_BITS = 0x7fc00000;

const packRows: PackRows = (x, layout, words, params) => {
  const bits = layout.bits as 2 | 3 | 4;
  const book = { centroids: lloydMaxCentroids(bits), borders: lloydMaxBorders(bits) };
  const buffer = new Float32Array(Math.min(layout.groupSize, layout.channels));
  const signs = layout.rotation === 'hadamard' ? hadamardSigns(buffer.length) : undefined;
  packGroups((values, group, _layout, codes) => {
    const largest = normalize(values, group, buffer);
    if (!(largest > 0)) {
      codes.fill(0, group.first, group.first + group.count);
      return largest === 0 ? 0 : NAN_BITS;
    }
    if (signs) rotateForth(buffer, group.count, signs);
    return bitsOfFloat(largest * encode(buffer, group, book, codes));
  })(x, layout, words, params);
};

export const packLloydMax = packOp('PackLloydMax', packRows);

/** Divide by the largest magnitude, so that no square overflows; returns it, NaN if not finite. */
function normalize(x: Float32Array, { first, count }: Group, v: Float32Array): number {
  let largest = 0;
  let poison = 0;
  for (let i = first; i < first + count; i++) {
    poison += x[i]! * 0;
    largest = Math.max(largest, Math.abs(x[i]!));
  }
  for (let i = 0; i < count; i++) v[i] = x[first + i]! / largest;
  return largest + poison;
}

function rotateForth(v: Float32Array, count: number, signs: Int8Array): void {
  let at = 0;
  for (const size of hadamardBlocks(count)) {
    for (let i = 0; i < size; i++) v[at + i]! *= signs[i]!;
    walshHadamardInPlace(v, at, size);
    const norm = Math.fround(1 / Math.sqrt(size));
    for (let i = at; i < at + size; i++) v[i]! *= norm;
    at += size;
  }
}

/** Write the codes of v and return the factor of their centroids. */
function encode(
  v: Float32Array,
  { first, count }: Group,
  { centroids, borders }: { centroids: Float32Array; borders: Float32Array },
  codes: Uint8Array,
): number {
  let squares = 0;
  for (let i = 0; i < count; i++) squares += v[i]! * v[i]!;
  const rms = Math.fround(Math.sqrt(squares / count));
  let along = 0;
  let norm = 0;
  for (let i = 0; i < count; i++) {
    const u = Math.fround(v[i]! / rms);
    let code = 0; // how many borders lie at or below u
    for (let step = centroids.length >> 1; step > 0; step >>= 1) {
      if (u >= borders[code + step - 1]!) code += step;
    }
    const centroid = centroids[code]!;
    codes[first + i] = code;
    along += v[i]! * centroid;
    norm += centroid * centroid;
  }
  return along / norm;
}
