/**
 * IEEE 754 binary16 to and from float32, on arrays. Decoding looks up a table of all 65,536 values;
 * encoding rounds to nearest, ties to even, keeps subnormals, infinities and the top NaN bits.
 */

let table: Float32Array | undefined;

/** Decodes binary16 words. */
export function decodeFloat16(words: Uint16Array): Float32Array {
  table ??= buildTable();
  const out = new Float32Array(words.length);
  for (let i = 0; i < words.length; i++) out[i] = table[words[i]!]!;
  return out;
}

/** Encodes float32 values as binary16 words; values of 65,520 and more become infinite. */
export function encodeFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = roundToHalf(bits[i]!);
  return out;
}

function roundToHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff); // NaN, made quiet
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65,520 rounds up to infinity
  if (magnitude >= 0x38800000) {
    // Normal: rebias the exponent from 127 to 15 and round away 13 bits of the significand.
    const rebased = magnitude - 0x38000000;
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= 0x33000000) return sign; // at most 2^-25, half of the smallest subnormal
  // Subnormal: shift the significand with its hidden bit to units of 2^-24.
  const shift = 126 - (magnitude >>> 23);
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const kept = significand >>> shift;
  const rest = significand & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

function buildTable(): Float32Array {
  const bits = new Uint32Array(65536);
  const values = new Float32Array(bits.buffer);
  for (let word = 0; word < 65536; word++) {
    const sign = (word & 0x8000) << 16;
    const exponent = (word >>> 10) & 0x1f;
    const fraction = word & 0x3ff;
    if (exponent === 0) {
      values[word] = (sign === 0 ? 1 : -1) * fraction * 2 ** -24;
    } else {
      const wide = exponent === 31 ? 255 : exponent + 112; // 112 = 127 - 15, the two biases
      bits[word] = sign | (wide << 23) | (fraction << 13);
    }
  }
  return values;
}
