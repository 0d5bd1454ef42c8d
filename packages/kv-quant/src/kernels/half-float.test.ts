import { expectClose } from '@mha2mla/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { halfAbove, halfBelow, halfFromFloatBits, halfValues } from './half-float';

const bitsOf = (x: number) => new Int32Array(Float32Array.of(x).buffer)[0]!;
const nearest = (x: number) => halfFromFloatBits(bitsOf(x));

describe('half precision', () => {
  test('all 65,536 halves come back from float32, NaN payloads too', () => {
    const bits = new Int32Array(halfValues().buffer);
    const wrong = [...bits.keys()].filter((half) => halfFromFloatBits(bits[half]!) !== half);
    expect(wrong).toEqual([]);
  });

  test('values are (1 + f / 1024) 2^(e - 15), and f 2^-24 where e is 0', () => {
    const expected = Float64Array.from({ length: 65536 }, (_, half) => {
      const sign = half & 0x8000 ? -1 : 1;
      const [exponent, fraction] = [(half >> 10) & 31, half & 1023];
      if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
      return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
    });
    expectClose(halfValues(), expected, {});
  });

  test('midpoints of neighbours go to the even one, the next float32 to the nearer one', () => {
    const wrong = [...Array(0x7bff).keys()].filter((half) => {
      const middle = (halfValues()[half]! + halfValues()[half + 1]!) / 2; // exact in float32
      const even = half + (half & 1);
      const [below, tie, above] = [-1, 0, 1].map((d) => halfFromFloatBits(bitsOf(middle) + d));
      const right = below === half && tie === even && above === half + 1;
      return !right || nearest(-middle) !== (0x8000 | even);
    });
    expect(wrong).toEqual([]);
  });

  test.each([
    [65519, 0x7bff],
    [65520, 0x7bff], // would round to infinity
    [3e38, 0x7bff],
    [-3e38, 0xfbff],
    [Number.POSITIVE_INFINITY, 0x7c00],
    [Number.NEGATIVE_INFINITY, 0xfc00],
    [2 ** -25, 0], // half of the smallest subnormal, a tie
    [-(2 ** -24), 0x8001],
    [1e-45, 0],
    [-0, 0x8000],
  ])('%d is half %d', (x, half) => {
    expect(nearest(x)).toBe(half);
  });

  test('a NaN whose payload is cut off stays a NaN', () => {
    expect(halfFromFloatBits(0x7f800001)).toBe(0x7e00);
  });

  test('below and above are the closest halves on their side', () => {
    const finite = fc.double({ min: -65504, max: 65504, noNaN: true });
    fc.assert(
      fc.property(finite, (x) => {
        const below = halfBelow(x);
        expect(halfValues()[below]).toBeLessThanOrEqual(x);
        const next = below === 0x8001 ? 0 : below & 0x8000 ? below - 1 : below + 1;
        if (below !== 0x7bff) expect(halfValues()[next]).toBeGreaterThan(x);
        const above = halfAbove(Math.abs(x));
        expect(halfValues()[above]).toBeGreaterThanOrEqual(Math.abs(x));
        if (above > 0) expect(halfValues()[above - 1]).toBeLessThan(Math.abs(x));
      }),
      { numRuns: 2000 },
    );
  });

  test('below and above stay within +-65504, and no zero point is -0', () => {
    expect(halfBelow(-1e9)).toBe(0xfbff);
    expect(halfBelow(1e9)).toBe(0x7bff);
    expect(halfAbove(1e9)).toBe(0x7bff);
    expect(halfBelow(-0)).toBe(0);
    expect(halfBelow(-1e-30)).toBe(0x8001);
  });
});
