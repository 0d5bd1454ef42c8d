import { gaussian } from '@mha2mla/testing';
import { describe, expect, it } from 'vitest';
import { decodeBfloat16, encodeBfloat16 } from './bfloat16';
import { decodeFloat32, decodeInt32 } from './decode-tensor';
import { encodeTensor } from './encode-tensor';
import { decodeFloat16, encodeFloat16 } from './float16';

const ALL = Uint16Array.from({ length: 65536 }, (_, word) => word);

/** The word nearest to a value among the positive numbers given, ties to the even word: the definition, slowly. */
function nearest(value: number, positive: Float32Array): number {
  let low = 0;
  let high = positive.length - 1;
  const magnitude = Math.abs(value);
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (positive[middle]! <= magnitude) low = middle;
    else high = middle;
  }
  const down = magnitude - positive[low]!;
  const up = positive[high]! - magnitude;
  const word = down < up || (down === up && low % 2 === 0) ? low : high;
  return word | (Object.is(value, -0) || value < 0 ? 0x8000 : 0);
}

describe.each([
  { dtype: 'F16', decode: decodeFloat16, encode: encodeFloat16, infinity: 0x7c00, max: 65504 },
  {
    dtype: 'BF16',
    decode: decodeBfloat16,
    encode: encodeBfloat16,
    infinity: 0x7f80,
    max: 3.3895313892515355e38,
  },
])('$dtype', ({ decode, encode, infinity, max }) => {
  it('decode then encode is the identity on all words that are numbers', () => {
    const values = decode(ALL);
    const words = encode(values);
    for (let word = 0; word < 65536; word++) {
      if (Number.isNaN(values[word]!))
        expect(encode(values.subarray(word, word + 1))[0]! & 0x7fff).toBeGreaterThan(infinity);
      else if (words[word] !== word) expect.fail(`word ${word} became ${words[word]}`);
    }
  });

  it('encode rounds to nearest, ties to even, subnormals too', () => {
    const top = infinity - 1;
    const numbers = decode(ALL.subarray(0, top + 1));
    const samples: number[] = [];
    for (let word = 0; word < top; word += 7) {
      const [a, b] = [numbers[word]!, numbers[word + 1]!];
      const middle = a + (b - a) / 2; // a tie, exact in float32
      samples.push(middle, -middle, a + (b - a) * 0.25, a + (b - a) * 0.75);
    }
    samples.push(...gaussian(2000, 3).map((x, i) => x * 10 ** ((i % 12) - 8)));
    const values = Float32Array.from(samples);
    const words = encode(values);
    for (let i = 0; i < values.length; i++) {
      const expected = nearest(values[i]!, numbers);
      if (words[i] !== expected)
        expect.fail(`${values[i]} became ${words[i]}, must be ${expected}`);
    }
  });

  it('infinities, NaN, signed zero and overflow', () => {
    const values = Float32Array.of(Infinity, -Infinity, 0, -0, max, 3.4028234663852886e38);
    const words = encode(values);
    expect([...words]).toEqual([infinity, infinity | 0x8000, 0, 0x8000, infinity - 1, infinity]);
    // NaNs whose payload is in the low bits only would round to infinity.
    const nans = new Float32Array(
      Uint32Array.of(0x7f800001, 0xff800001, 0x7fffffff, 0x7fc00000).buffer,
    );
    for (const value of decode(encode(nans))) expect(value).toBeNaN();
  });
});

describe('encodeTensor and decode', () => {
  it('65,520 is the first F16 to become infinite', () => {
    expect([...encodeFloat16(Float32Array.of(65519.99, 65520))]).toEqual([0x7bff, 0x7c00]);
  });

  it('bytes at odd positions decode like aligned ones', () => {
    const values = gaussian(9, 4);
    for (const dtype of ['F64', 'F32', 'F16', 'BF16'] as const) {
      const bytes = encodeTensor(values, dtype);
      const shifted = new Uint8Array(bytes.length + 1);
      shifted.set(bytes, 1);
      expect(decodeFloat32(shifted.subarray(1), dtype)).toEqual(decodeFloat32(bytes, dtype));
    }
  });

  it('integers beyond the type, and kinds that do not match, are refused', () => {
    expect(() => encodeTensor(Int32Array.of(256), 'U8')).toThrow(/0|256/);
    expect(() => encodeTensor(Int32Array.of(-1), 'U64')).toThrow(/U64/);
    const codes = (run: () => unknown) => {
      try {
        run();
      } catch (error) {
        return (error as { code: string }).code;
      }
      return undefined;
    };
    expect(codes(() => encodeTensor(new Float32Array(1), 'I32'))).toBe('wrong-dtype');
    expect(codes(() => encodeTensor(new Int32Array(1), 'F32'))).toBe('wrong-dtype');
    expect(codes(() => decodeFloat32(new Uint8Array(4), 'I32'))).toBe('wrong-dtype');
    expect(codes(() => decodeInt32(new Uint8Array(4), 'F32'))).toBe('wrong-dtype');
    expect(codes(() => decodeFloat32(new Uint8Array(3), 'F16'))).toBe('not-whole-bytes');
    const large = new Uint8Array(BigInt64Array.of(2n ** 31n).buffer);
    expect(codes(() => decodeInt32(large, 'I64'))).toBe('out-of-range');
    expect(codes(() => decodeInt32(new Uint8Array(4).fill(255), 'U32'))).toBe('out-of-range');
    expect([...decodeInt32(new Uint8Array(8).fill(255), 'I64')]).toEqual([-1]);
  });
});
