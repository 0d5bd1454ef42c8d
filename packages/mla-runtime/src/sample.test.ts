import { describe, expect, it, test } from 'vitest';
import { argMax, type SamplingOptions, sampleToken } from './sample';

const LOGITS = Float32Array.of(0.5, 2, -1, 2, 1.25, Number.NEGATIVE_INFINITY);

/** Shares of the tokens over equally spaced uniform numbers, exact to 1 / count. */
function shares(options: SamplingOptions): number[] {
  const count = 20_000;
  const result = new Array<number>(LOGITS.length).fill(0);
  for (let i = 0; i < count; i++) {
    result[sampleToken(LOGITS, { ...options, random: () => (i + 0.5) / count })]! += 1 / count;
  }
  return result;
}

function softmax(temperature: number, kept: readonly number[]): number[] {
  const weights = [...LOGITS].map((logit, i) =>
    kept.includes(i) ? Math.exp(logit / temperature) : 0,
  );
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

describe('sampleToken', () => {
  test.each([
    ['all tokens', { temperature: 1 }, [0, 1, 2, 3, 4]],
    ['a temperature', { temperature: 0.3 }, [0, 1, 2, 3, 4]],
    ['a high temperature', { temperature: 5 }, [0, 1, 2, 3, 4]],
    ['topK', { temperature: 1, topK: 3 }, [1, 3, 4]],
    ['topK of more than there are', { temperature: 1, topK: 99 }, [0, 1, 2, 3, 4]],
    ['topK 1 and a tie', { temperature: 1, topK: 1 }, [1, 3]],
    ['topP', { temperature: 1, topP: 0.85 }, [1, 3, 4]],
    ['a small topP and a tie', { temperature: 1, topP: 0.01 }, [1, 3]],
    ['topP of what topK leaves', { temperature: 1, topK: 3, topP: 0.75 }, [1, 3]],
    // Against the best: exp(-0.75) = 0.47, exp(-1.5) = 0.22, exp(-3) = 0.05.
    ['minP', { temperature: 1, minP: 0.3 }, [1, 3, 4]],
    ['minP after the temperature', { temperature: 3, minP: 0.6 }, [0, 1, 3, 4]],
    ['minP 1', { temperature: 1, minP: 1 }, [1, 3]],
    ['minP 0', { temperature: 1, minP: 0 }, [0, 1, 2, 3, 4]],
    ['minP of what topK leaves', { temperature: 1, topK: 3, minP: 0.2 }, [1, 3, 4]],
  ])('draws from the softmax: %s', (_, options, kept) => {
    const expected = softmax(options.temperature, kept);
    for (const [i, share] of shares(options).entries()) {
      expect(Math.abs(share - expected[i]!)).toBeLessThan(2e-4); // two ends of an interval
    }
  });

  it('is greedy at temperature 0, the first of equals', () => {
    expect(sampleToken(LOGITS)).toBe(1);
    expect(sampleToken(LOGITS, { temperature: 0, topK: 2 })).toBe(1);
    expect(argMax(Float32Array.of(-3, -1, -1))).toBe(1);
  });

  it('divides positive logits of tokens that were said, multiplies negative ones, once each', () => {
    const logits = Float32Array.of(3, 2, -1, -1.5, 0);
    const before = logits.slice();
    const next = (repetitionPenalty: number, said: number[]) =>
      sampleToken(logits, { repetitionPenalty }, said);
    expect(next(1, [0, 0, 0])).toBe(0);
    expect(next(1.4, [0, 0, 0])).toBe(0); // 3 / 1.4 > 2, though 3 / 1.4^3 is not
    expect(next(1.6, [0])).toBe(1);
    expect(next(1.6, [0, 1])).toBe(0);
    expect(next(1e6, [0, 1, 4])).toBe(0); // 3e-6
    expect(next(0.5, [1])).toBe(1); // below 1 it invites repetition
    expect(logits).toEqual(before);
    const negative = Float32Array.of(-1, -1.5);
    expect(sampleToken(negative, { repetitionPenalty: 1.4 }, [0])).toBe(0);
    expect(sampleToken(negative, { repetitionPenalty: 1.6 }, [0])).toBe(1);
    // It comes before the temperature and the cuts.
    const random = () => 0.999;
    const sampled = { repetitionPenalty: 1.6, temperature: 1, topK: 1, random };
    expect(sampleToken(Float32Array.of(3, 2), sampled, [0])).toBe(1);
  });

  it('draws the last token for a uniform number that rounds to 1', () => {
    const options = { temperature: 1, random: () => 1 };
    expect(sampleToken(Float32Array.of(0, 0, Number.NEGATIVE_INFINITY), options)).toBe(1);
  });

  it('refuses logits that are not numbers', () => {
    expect(() => sampleToken(Float32Array.of(1, Number.NaN))).toThrow(/got NaN at 1/);
    const random = () => 0.5;
    const infinite = Float32Array.of(0, Number.POSITIVE_INFINITY);
    expect(() => sampleToken(infinite, { temperature: 1, random })).toThrow(/got Infinity/);
  });

  test.each([
    [{ temperature: -1 }, /temperature must be at least 0 and finite, got -1/],
    [{ temperature: Number.NaN }, /temperature .* got NaN/],
    [{ topK: 0 }, /topK must be a positive integer, got 0/],
    [{ topK: 1.5 }, /topK must be a positive integer, got 1.5/],
    [{ topP: 0 }, /topP must lie in \(0, 1\], got 0/],
    [{ topP: 1.1 }, /topP must lie in \(0, 1\], got 1.1/],
    [{ minP: -0.1 }, /minP must lie in \[0, 1\], got -0.1/],
    [{ minP: Number.NaN }, /minP must lie in \[0, 1\], got NaN/],
    [{ repetitionPenalty: 0 }, /repetitionPenalty must be above 0 and finite, got 0/],
    [{ repetitionPenalty: Number.POSITIVE_INFINITY }, /repetitionPenalty .* got Infinity/],
    [{ temperature: 1 }, /expected `random`/],
  ])('refuses %o', (options, message) => {
    expect(() => sampleToken(LOGITS, options)).toThrow(message);
  });
});
