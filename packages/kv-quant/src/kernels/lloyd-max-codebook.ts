/**
 * Centroids of the quantizers of N(0, 1) with the least mean squared error (Max 1960, Lloyd 1982):
 * each is the mean of its cell, each border the middle between two. Only the positive ones are kept,
 * as they are symmetric. Distortion D = 0.1175, 0.0345, 0.0095 at 2, 3, 4 bits.
 */
const POSITIVE: Record<number, readonly number[]> = {
  2: [0.4527800346364927, 1.5104176084990963],
  3: [0.24509417894422308, 0.7560052812058808, 1.3439092785050053, 2.151945704536992],
  4: [
    0.1283950298511486, 0.3880482994902962, 0.6567591185324722, 0.9423404564869733,
    1.256231197347189, 1.6180463860218948, 2.0690172265313986, 2.732589570995172,
  ],
};

/** Centroids of `bits` bits, ascending; the codes are their numbers from 0. */
export function lloydMaxCentroids(bits: 2 | 3 | 4): Float32Array {
  const positive = POSITIVE[bits]!;
  return Float32Array.of(...positive.map((c) => -c).reverse(), ...positive);
}

/** Borders between neighbours, ascending; a value on a border belongs to the upper one. */
export function lloydMaxBorders(bits: 2 | 3 | 4): Float32Array {
  const centroids = lloydMaxCentroids(bits);
  return centroids.slice(1).map((upper, i) => Math.fround((upper + centroids[i]!) / 2));
}
