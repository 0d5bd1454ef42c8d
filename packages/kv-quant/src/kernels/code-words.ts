/**
 * Codes from and to 32-bit words: code c lies in the bits from c * bits on, counted from the lowest
 * bit of the first word. Three bits straddle words: the low part ends one, the rest begins the next.
 */

/** Write `count` codes, from `from` on, into `words` from `at` on; the last word's rest is 0. */
export function packCodes(
  codes: Uint8Array,
  from: number,
  count: number,
  bits: number,
  words: Int32Array,
  at: number,
): void {
  let word = at;
  let filled = 0;
  let shift = 0;
  for (let i = from; i < from + count; i++) {
    const code = codes[i]!;
    filled |= code << shift;
    shift += bits;
    if (shift >= 32) {
      words[word++] = filled;
      shift -= 32;
      filled = shift > 0 ? code >>> (bits - shift) : 0;
    }
  }
  if (shift > 0) words[word] = filled;
}

/** Read `count` codes (unsigned) from `words`, from `at` on. */
export function unpackCodes(
  words: Int32Array,
  at: number,
  count: number,
  bits: number,
  codes: Uint8Array,
): void {
  if (bits === 8) unpackBytes(words, at, count, codes);
  else if (bits === 4) unpackNibbles(words, at, count, codes);
  else unpackAny(words, at, 0, count, bits, codes);
}

function unpackAny(
  words: Int32Array,
  at: number,
  from: number,
  count: number,
  bits: number,
  codes: Uint8Array,
): void {
  const mask = 2 ** bits - 1;
  for (let i = from; i < count; i++) {
    const bit = i * bits;
    const word = at + (bit >>> 5);
    const shift = bit & 31;
    let code = words[word]! >>> shift;
    if (shift + bits > 32) code |= words[word + 1]! << (32 - shift);
    codes[i] = code & mask;
  }
}

function unpackBytes(words: Int32Array, at: number, count: number, codes: Uint8Array): void {
  const whole = count & ~3;
  for (let i = 0, w = at; i < whole; i += 4, w++) {
    const word = words[w]!;
    codes[i] = word & 255;
    codes[i + 1] = (word >>> 8) & 255;
    codes[i + 2] = (word >>> 16) & 255;
    codes[i + 3] = word >>> 24;
  }
  unpackAny(words, at, whole, count, 8, codes);
}

function unpackNibbles(words: Int32Array, at: number, count: number, codes: Uint8Array): void {
  const whole = count & ~7;
  for (let i = 0, w = at; i < whole; i += 8, w++) {
    const word = words[w]!;
    codes[i] = word & 15;
    codes[i + 1] = (word >>> 4) & 15;
    codes[i + 2] = (word >>> 8) & 15;
    codes[i + 3] = (word >>> 12) & 15;
    codes[i + 4] = (word >>> 16) & 15;
    codes[i + 5] = (word >>> 20) & 15;
    codes[i + 6] = (word >>> 24) & 15;
    codes[i + 7] = word >>> 28;
  }
  unpackAny(words, at, whole, count, 4, codes);
}
