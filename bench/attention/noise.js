/**
 * Numbers of an index and a seed, the same in arm.py: every arm computes with the same weights, and
 * what they give can be compared.
 */

/** @returns uniform values in [-size, size). */
export function noise(length, seed, size = 1) {
  const values = new Float32Array(length);
  const start = Math.imul(seed, 0x9e3779b9);
  for (let i = 0; i < length; i++) {
    let x = Math.imul(start + i, 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 15), 0xc2b2ae35);
    x ^= x >>> 13;
    values[i] = ((x >>> 0) / 2 ** 31 - 1) * size;
  }
  return values;
}

/** Of the tensors by name. */
export const SEEDS = {
  input: 1,
  q_proj: 2,
  k_proj: 3,
  v_proj: 4,
  o_proj: 5,
  key: 1000,
  value: 5000,
};

/** A weight [out, in] whose outputs are about as large as its inputs. */
export function weightNoise(name, [outFeatures, inFeatures]) {
  return noise(outFeatures * inFeatures, SEEDS[name], Math.sqrt(3 / inFeatures));
}

/** Cached keys or values of the piece of that number, [K, T, H]. */
export function pieceNoise(name, piece, tokens, { numKeyValueHeads, headDim }) {
  return noise(numKeyValueHeads * tokens * headDim, SEEDS[name] + piece);
}
