import { expectClose, gaussian } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { applyUnrotation } from './apply-unrotation';
import type { AttentionSample } from './attention-sample';
import { addUnrotation, emptyUnrotationSums, solveUnrotation, type Unrotation } from './unrotation';

const counts = { numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 8 };
const { numAttentionHeads: N, numKeyValueHeads: K, headDim: H } = counts;
const half = H / 2;
const pairs = [Int32Array.of(1), Int32Array.of(0, 3)];
const removedOf = (head: number) =>
  [0, 1, 2, 3].filter((pair) => !pairs[Math.floor((head * K) / N)]!.includes(pair));

const angle = (position: number, pair: number) => position * 10 ** (-pair / 2);

/** Rows at `rowColumn` of random queries and keys, which stand at `positions`. */
function sampleOf(positions: number[], rowColumn: number[], seed: number): AttentionSample {
  const table = (columns: number[], of: (x: number) => number) =>
    Float64Array.from(columns.flatMap((c) => [0, 1, 2, 3].map((p) => of(angle(positions[c]!, p)))));
  const columns = [...positions.keys()];
  return {
    query: gaussian(N * rowColumn.length * H, seed),
    key: gaussian(K * positions.length * H, seed + 1),
    queryCos: table(rowColumn, Math.cos),
    querySin: table(rowColumn, Math.sin),
    keyCos: table(columns, Math.cos),
    keySin: table(columns, Math.sin),
    rowColumn: Int32Array.from(rowColumn),
    rowIsVision: new Uint8Array(rowColumn.length),
  };
}

function fit(samples: AttentionSample[], ridge = 0): Unrotation {
  const sums = emptyUnrotationSums(pairs, counts);
  for (const sample of samples) addUnrotation(sums, sample);
  return solveUnrotation(sums, { ridge });
}

/** Σ_rows Var_P(δ) of a head, by the formula, in complex numbers. */
function objective(sample: AttentionSample, head: number, { real, imaginary }: Unrotation): number {
  const keyHead = Math.floor((head * K) / N);
  const rows = sample.rowColumn.length;
  const keys = sample.keyCos.length / half;
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const scores: number[] = [];
    const deltas: number[] = [];
    for (let j = 0; j <= sample.rowColumn[row]!; j++) {
      let [score, delta] = [0, 0];
      for (let p = 0; p < half; p++) {
        const q = (head * rows + row) * H + p;
        const k = (keyHead * keys + j) * H + p;
        // conj(q) k: its real part is q · k, its imaginary part q1 k2 - q2 k1.
        const re =
          sample.query[q]! * sample.key[k]! + sample.query[q + half]! * sample.key[k + half]!;
        const im =
          sample.query[q]! * sample.key[k + half]! - sample.query[q + half]! * sample.key[k]!;
        const turn =
          Math.atan2(sample.keySin[j * half + p]!, sample.keyCos[j * half + p]!) -
          Math.atan2(sample.querySin[row * half + p]!, sample.queryCos[row * half + p]!);
        const rotated = (re * Math.cos(turn) - im * Math.sin(turn)) / Math.sqrt(H);
        score += rotated;
        if (!removedOf(head).includes(p)) continue;
        const a = [real[head * half + p]!, imaginary[head * half + p]!] as const;
        delta += rotated - (a[0] * re + a[1] * im) / Math.sqrt(H);
      }
      scores.push(score);
      deltas.push(delta);
    }
    const max = Math.max(...scores);
    const sum = scores.reduce((s, score) => s + Math.exp(score - max), 0);
    const weights = scores.map((score) => Math.exp(score - max) / sum);
    const mean = deltas.reduce((s, delta, j) => s + weights[j]! * delta, 0);
    total += deltas.reduce((s, delta, j) => s + weights[j]! * (delta - mean) ** 2, 0);
  }
  return total;
}

const random = sampleOf(
  Array.from({ length: 30 }, (_, i) => i),
  [5, 11, 12, 20, 27, 29],
  7,
);

test('where all keys stand at one distance, the fit is the rotation over that distance', () => {
  // One row at position 13 sees 20 keys at position 4 (and itself is none of them).
  const positions = [...new Array<number>(20).fill(4), 13];
  const sample = { ...sampleOf(positions, [20], 3), keyMask: new Uint8Array(21).fill(1, 0, 20) };
  const { real, imaginary } = fit([sample]);
  for (let head = 0; head < N; head++) {
    for (const pair of removedOf(head)) {
      const turn = angle(13 - 4, pair);
      expectClose([real[head * half + pair]!], [Math.cos(turn)], { abs: 1e-9 });
      expectClose([imaginary[head * half + pair]!], [Math.sin(turn)], { abs: 1e-9 });
    }
  }
});

test('the fit minimises the variance of what the scores lose', () => {
  const fitted = fit([random]);
  const plain = { real: fitted.real.map(() => 1), imaginary: fitted.imaginary.map(() => 0) };
  for (let head = 0; head < N; head++) {
    const best = objective(random, head, fitted);
    expect(best).toBeLessThan(objective(random, head, plain));
    for (const pair of removedOf(head)) {
      for (const part of ['real', 'imaginary'] as const) {
        for (const step of [-0.01, 0.01]) {
          const moved = { ...fitted, [part]: fitted[part].slice() };
          moved[part][head * half + pair]! += step;
          expect(objective(random, head, moved)).toBeGreaterThan(best);
        }
      }
    }
  }
});

describe('what is left alone', () => {
  test('kept pairs, whatever the data', () => {
    const { real, imaginary } = fit([random]);
    for (let head = 0; head < N; head++) {
      for (const pair of pairs[Math.floor((head * K) / N)]!) {
        expect([real[head * half + pair], imaginary[head * half + pair]]).toEqual([1, 0]);
      }
    }
  });

  test('every pair, where no row was seen or the ridge is endless', () => {
    expect(fit([])).toEqual({
      real: new Float64Array(16).fill(1),
      imaginary: new Float64Array(16),
    });
    expectClose(fit([random], 1e9).real, new Float64Array(16).fill(1), { abs: 1e-6 });
  });

  test('padding, which may hold NaN', () => {
    const padded: AttentionSample = {
      ...random,
      key: Float32Array.from(random.key, (value, i) =>
        Math.floor(i / H) % 30 < 4 ? Number.NaN : value,
      ),
      keyMask: new Uint8Array(30).fill(1, 4),
    };
    const { real } = fit([padded]);
    expect(real.every(Number.isFinite)).toBe(true);
  });
});

test('sums of shards are the sums of all', () => {
  const other = sampleOf([3, 1, 4, 1, 5, 9, 2, 6], [4, 7], 21);
  const both = fit([random, other]);
  const again = fit([other, random]);
  expectClose(both.real, again.real, { abs: 1e-9 });
  expectClose(both.imaginary, again.imaginary, { abs: 1e-9 });
});

test('of many rows as many are taken as asked for, the last among them', () => {
  const [some, all, one] = [3, 6, 1].map((maxRows) => {
    const sums = emptyUnrotationSums(pairs, counts);
    addUnrotation(sums, random, { maxRows });
    return sums;
  });
  const of = (rows: number[]) => {
    const sums = emptyUnrotationSums(pairs, counts);
    const take = (values: ArrayLike<number>, width: number) =>
      rows.flatMap((row) => Array.from(values).slice(row * width, (row + 1) * width));
    const heads = Array.from({ length: N }, (_, head) => head);
    const query = heads.flatMap((head) =>
      take(Array.from(random.query).slice(head * 6 * H, (head + 1) * 6 * H), H),
    );
    addUnrotation(sums, {
      ...random,
      query,
      queryCos: take(random.queryCos, half),
      querySin: take(random.querySin, half),
      rowColumn: Int32Array.from(rows, (row) => random.rowColumn[row]!),
      rowIsVision: new Uint8Array(rows.length),
    });
    return sums;
  };
  expect(some!.target).toEqual(of([1, 3, 5]).target);
  expect(all!.target).toEqual(of([0, 1, 2, 3, 4, 5]).target);
  expect(one!.target).toEqual(of([5]).target);
});

test('the multiplied rows score as the formula says', () => {
  const unrotation = fit([random]);
  const query = gaussian(N * H, 5);
  const key = gaussian(H, 6);
  const turned = applyUnrotation(query, unrotation, { headDim: H, width: 1 });
  for (let i = 0; i < N * half; i++) {
    const first = Math.floor(i / half) * H + (i % half);
    const p = i % half;
    const [q1, q2, k1, k2] = [query[first]!, query[first + half]!, key[p]!, key[half + p]!];
    const expected =
      unrotation.real[i]! * (q1 * k1 + q2 * k2) + unrotation.imaginary[i]! * (q1 * k2 - q2 * k1);
    expectClose([turned[first]! * k1 + turned[first + half]! * k2], [expected], { abs: 1e-5 });
  }
  expect(() => applyUnrotation(query, unrotation, { headDim: H, width: 2 })).toThrow(/must hold/);
});

test('samples whose lengths do not fit are refused', () => {
  const sums = emptyUnrotationSums(pairs, counts);
  expect(() => addUnrotation(sums, { ...random, query: new Float32Array(3) })).toThrow(
    /addUnrotation: query must hold/,
  );
});
