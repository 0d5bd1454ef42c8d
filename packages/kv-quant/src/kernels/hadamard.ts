/**
 * The rotation that spreads outliers before a codebook: y = H D x / sqrt(n) on blocks of n = 2^k.
 * H is Sylvester's, H[i, j] = (-1)^popcount(i & j). D flips the signs of x by a bent function of the
 * index: without it H turns a constant vector into a single spike, which a Gaussian codebook cannot
 * hold; with it both a constant and a spike become vectors whose entries are all of one magnitude
 * (n a power of 4; else half of a constant's entries are 0).
 */

/**
 * Blocks of a group of any size: the fewest powers of two that it is the sum of, largest first.
 * @param largest a power of two that none is above. Default: no limit.
 */
export function hadamardBlocks(size: number, largest = Number.POSITIVE_INFINITY): number[] {
  const blocks: number[] = [];
  for (let rest = size; rest > 0; rest -= blocks.at(-1)!) {
    blocks.push(Math.min(largest, 2 ** Math.floor(Math.log2(rest))));
  }
  return blocks;
}

/** The signs that D gives a block; those of a smaller one are the first of them. */
export function hadamardSigns(size: number): Int8Array {
  return Int8Array.from({ length: size }, (_, i) => hadamardSign(i));
}

/**
 * H v, in place, not normalised: divide by sqrt(size), and H is its own inverse.
 * @param v each sum is rounded to what it holds.
 * @param size how many entries, a power of two; from v[first] on, every `stride`-th.
 */
export function walshHadamardInPlace(
  v: Float32Array | Float64Array,
  first: number,
  size: number,
  stride = 1,
): void {
  const end = first + size * stride;
  for (let half = stride; half < size * stride; half *= 2) {
    for (let start = first; start < end; start += 2 * half) {
      for (let i = start; i < start + half; i += stride) {
        const a = v[i]!;
        const b = v[i + half]!;
        v[i] = a + b;
        v[i + half] = a - b;
      }
    }
  }
}

/** Sign of entry i of a block: -1 to the number of pairs of bits 2k, 2k + 1 of i that are both set. */
function hadamardSign(i: number): 1 | -1 {
  let pairs = i & (i >>> 1) & 0x55555555;
  let sign: 1 | -1 = 1;
  for (; pairs !== 0; pairs &= pairs - 1) sign = sign === 1 ? -1 : 1;
  return sign;
}
