/** MKL split by the modality of keys. */
import { expectClose } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import type { AttentionSample } from './attention-sample';
import { addMklScores, type MklOptions } from './mkl-scores';
import { emptyMklSums, type MklSums, mklScores } from './mkl-sums';
import { attentionOf, sampleOf, scoresOf } from './testing/sample';

const counts = { numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 8 };
const half = 4;
const one = sampleOf(counts, { rowColumn: [0, 2, 3, 7, 8, 11], keys: 12, seed: 5 });

function sumsOf(sample: AttentionSample, split: MklSums['split'], variant?: MklOptions['variant']) {
  const sums = emptyMklSums({ ...counts, split });
  addMklScores(sums, sample, { ...counts, variant });
  return sums;
}

/** Σ p log(p / q) over what p lies on. */
const kl = (p: readonly number[], q: readonly number[]) =>
  p.reduce((sum, x, i) => (x > 0 ? sum + x * Math.log(x / q[i]!) : sum), 0);
const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

/** The three sums by definition: distributions renormalised over a modality's keys, and the split. */
function bruteForce(sample: AttentionSample, variant: 'plain' | 'gone') {
  const zeros = () => new Float64Array(2 * half);
  const sums = { vision: zeros(), text: zeros(), between: zeros() };
  for (let head = 0; head < 4; head++) {
    for (let row = 0; row < sample.rowColumn.length; row++) {
      for (let changed = 0; changed < half; changed++) {
        const form = (at: number) => (pair: number) => (pair === at ? variant : 'turned');
        const p = attentionOf(scoresOf(sample, counts, head, row, form(-1)));
        const q = attentionOf(scoresOf(sample, counts, head, row, form(changed)));
        const at = Math.floor(head / 2) * half + changed;
        const shares = [1, 0].map((bit) => {
          const keys = [...p.keys()].filter((j) => sample.keyIsVision![j] === bit);
          const [a, b] = [p, q].map((own) => keys.map((j) => own.get(j)!));
          const [mass, other] = [total(a!), total(b!)];
          const within = kl(
            a!.map((x) => x / mass),
            b!.map((x) => x / other),
          );
          if (mass > 0) sums[bit ? 'vision' : 'text'][at]! += mass * within;
          return [mass, other] as const;
        });
        sums.between[at]! += kl(
          shares.map(([mass]) => mass),
          shares.map(([, other]) => other),
        );
      }
    }
  }
  return sums;
}

test.each([
  ['unrotate', 'plain'],
  ['zero', 'gone'],
] as const)('%s equals brute force in float64', (variant, form) => {
  const sums = sumsOf(one, 'keys', variant);
  const expected = bruteForce(one, form);
  for (const name of ['vision', 'text', 'between'] as const) {
    // Brute force loses digits in log p - log q.
    expectClose(sums[name], expected[name], { abs: 1e-12, rel: 1e-9 });
  }
});

test.each(['unrotate', 'zero'] as const)(
  '%s: parts by keys are not negative and add up to the whole divergence',
  (variant) => {
    const byKeys = sumsOf(one, 'keys', variant);
    const byRows = sumsOf(one, 'rows', variant);
    const parts = [byKeys.vision, byKeys.text, byKeys.between];
    for (const part of parts) expect(part.every((value) => value >= 0)).toBe(true);
    expectClose(
      parts[0]!.map((value, i) => value + parts[1]![i]! + parts[2]![i]!),
      byRows.vision.map((value, i) => value + byRows.text[i]!),
      { rel: 1e-12 },
    );
    expect(byRows.between.every((value) => value === 0)).toBe(true);
  },
);

test('they add up where a pair moves attention to keys of which it knew nothing', () => {
  // Pair 3 turns by a radian a column, and a key bias puts its scores at hundreds.
  const biased = sampleOf(counts, {
    rowColumn: [5, 8, 11],
    keys: 12,
    seed: 9,
    angle: (column, pair) => (pair === 3 ? column : column * 3 ** -pair),
  });
  const pair3 = (values: ArrayLike<number>, value: number) =>
    Float64Array.from(values, (x, i) => (i % 8 === 3 ? value : i % 8 === 7 ? 0 : x));
  const large = { ...biased, query: pair3(biased.query, 3), key: pair3(biased.key, 800) };
  const byKeys = sumsOf(large, 'keys');
  const byRows = sumsOf(large, 'rows');
  expect(byRows.text[3]).toBeGreaterThan(1);
  expectClose(
    byKeys.vision.map((value, i) => value + byKeys.text[i]! + byKeys.between[i]!),
    byRows.vision.map((value, i) => value + byRows.text[i]!),
    { abs: 1e-10, rel: 1e-10 },
  );
});

test('where all keys are of one modality, all is within it', () => {
  const { vision, text, between } = sumsOf({ ...one, keyIsVision: new Uint8Array(12) }, 'keys');
  const byRows = sumsOf(one, 'rows');
  expect([...vision, ...between].every((value) => value === 0)).toBe(true);
  expectClose(
    text,
    byRows.vision.map((value, i) => value + byRows.text[i]!),
    { rel: 1e-13 },
  );
});

test('padding of either modality may hold NaN', () => {
  const key = Float64Array.from(one.key, (value, i) =>
    Math.floor(i / 8) % 12 === 1 ? Number.NaN : value,
  );
  for (const bit of [0, 1]) {
    const keyIsVision = one.keyIsVision!.map((own, j) => (j === 1 ? bit : own));
    expect(sumsOf({ ...one, key, keyIsVision }, 'keys')).toEqual(sumsOf(one, 'keys'));
  }
});

test('scores are the whole divergence at half and half, and lean as they are weighted', () => {
  const sums: MklSums = {
    split: 'keys',
    vision: Float64Array.of(2, 4),
    text: Float64Array.of(6, 0),
    between: Float64Array.of(2, 6),
    visionRows: 1,
    textRows: 1,
  };
  expect([...mklScores(sums)]).toEqual([5, 5]);
  expect([...mklScores(sums, { visionWeight: 1 })]).toEqual([3, 7]);
  expect([...mklScores(sums, { visionWeight: 0.25 })]).toEqual([6, 4]);
});

test('keys of unknown modality are refused', () => {
  expect(() => sumsOf({ ...one, keyIsVision: undefined }, 'keys')).toThrow(
    'addMklScores: keyIsVision must be given where sums are split by keys, got undefined.',
  );
  expect(() => sumsOf({ ...one, keyIsVision: new Uint8Array(3) }, 'keys')).toThrow(
    'addMklScores: keyIsVision must hold 12 values, got 3.',
  );
});
