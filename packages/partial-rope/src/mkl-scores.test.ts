import { expectClose, gaussian } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { addMklScores, type MklOptions, type MklSample } from './mkl-scores';
import { emptyMklSums, mklScores } from './mkl-sums';
import { ranksFromScores } from './ranks';

const ROWS = 9;
const KEYS = 12;

function sample(options: MklOptions, seed: number, scale: (dim: number) => number): MklSample {
  const { numAttentionHeads, numKeyValueHeads, headDim } = options;
  const half = headDim / 2;
  const draw = (heads: number, count: number, s: number) =>
    gaussian(heads * count * headDim, s).map((x, i) => x * scale((i % headDim) % half));
  const rowColumn = Int32Array.from({ length: ROWS }, (_, i) => i + KEYS - ROWS);
  const angle = (position: number, pair: number) => position * 100 ** (-pair / half);
  const table = (positions: Iterable<number>, f: (x: number) => number) =>
    Float64Array.from(
      [...positions].flatMap((p) => Array.from({ length: half }, (_, k) => f(angle(p, k)))),
    );
  const columns = Array.from({ length: KEYS }, (_, i) => i);
  return {
    query: draw(numAttentionHeads, ROWS, seed),
    key: draw(numKeyValueHeads, KEYS, seed + 1),
    queryCos: table(rowColumn, Math.cos),
    querySin: table(rowColumn, Math.sin),
    keyCos: table(columns, Math.cos),
    keySin: table(columns, Math.sin),
    rowColumn,
    rowIsVision: Uint8Array.from({ length: ROWS }, (_, i) => (i % 3 === 0 ? 1 : 0)),
    keyMask: Uint8Array.from({ length: KEYS }, (_, i) => (i === 1 ? 0 : 1)),
  };
}

/** T by its definition: every score recomputed with the pair changed, softmax, KL. */
function bruteForce(s: MklSample, options: MklOptions): { vision: number[]; text: number[] } {
  const { numAttentionHeads: N, numKeyValueHeads: K, headDim: H, variant } = options;
  const half = H / 2;
  const result = { vision: new Array(K * half).fill(0), text: new Array(K * half).fill(0) };
  const score = (h: number, row: number, j: number, changed: number) => {
    const g = Math.floor((h * K) / N);
    let sum = 0;
    for (let k = 0; k < half; k++) {
      if (k === changed && variant === 'zero') continue;
      const q = [0, half].map((o) => s.query[(h * ROWS + row) * H + k + o]!);
      const x = [0, half].map((o) => s.key[(g * KEYS + j) * H + k + o]!);
      const turn = (v: number[], c: number, n: number) =>
        k === changed ? v : [v[0]! * c - v[1]! * n, v[1]! * c + v[0]! * n];
      const a = turn(q, s.queryCos[row * half + k]!, s.querySin[row * half + k]!);
      const b = turn(x, s.keyCos[j * half + k]!, s.keySin[j * half + k]!);
      sum += a[0]! * b[0]! + a[1]! * b[1]!;
    }
    return sum / Math.sqrt(H);
  };
  const softmax = (h: number, row: number, changed: number) => {
    const e = Array.from({ length: s.rowColumn[row]! + 1 }, (_, j) =>
      s.keyMask![j] ? Math.exp(score(h, row, j, changed)) : 0,
    );
    const total = e.reduce((a, b) => a + b, 0);
    return e.map((x) => x / total);
  };
  for (let h = 0; h < N; h++) {
    for (let row = 0; row < ROWS; row++) {
      const p = softmax(h, row, -1);
      for (let k = 0; k < half; k++) {
        const q = softmax(h, row, k);
        const kl = p.reduce((sum, x, j) => (x > 0 ? sum + x * Math.log(x / q[j]!) : sum), 0);
        result[s.rowIsVision[row] ? 'vision' : 'text'][Math.floor((h * K) / N) * half + k] += kl;
      }
    }
  }
  return result;
}

describe('addMklScores', () => {
  const shape = { numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 8 };

  test.each(['unrotate', 'zero'] as const)('%s equals brute force in float64', (variant) => {
    const options = { ...shape, variant };
    const sums = emptyMklSums(options);
    const one = sample(options, 7, () => 1.5);
    addMklScores(sums, one, options);
    const expected = bruteForce(one, options);
    // Both are float64; brute force loses digits in log(p / q), hence not exact.
    expectClose(sums.vision, expected.vision, { abs: 1e-12, rel: 1e-9 });
    expectClose(sums.text, expected.text, { abs: 1e-12, rel: 1e-9 });
    expect([sums.visionRows, sums.textRows]).toEqual([3, 6]);
  });

  test('finds exactly the pairs that carry position', () => {
    // Pairs 1 and 2 are alive; the others are a thousand times smaller.
    const options = shape;
    const sums = emptyMklSums(options);
    for (let seed = 0; seed < 4; seed++) {
      addMklScores(
        sums,
        sample(options, 20 + 2 * seed, (k) => (k === 1 || k === 2 ? 2 : 2e-3)),
        options,
      );
    }
    const ranks = ranksFromScores(mklScores(sums), 2);
    for (const head of [0, 1]) {
      const own = [...ranks.subarray(head * 8, head * 8 + 4)];
      expect([own[1]! < 2, own[2]! < 2]).toEqual([true, true]);
    }
  });

  test('rows of shards add up to the rows of the whole', () => {
    const [a, b] = [sample(shape, 1, () => 1), sample(shape, 3, () => 1)];
    const together = emptyMklSums(shape);
    const apart = [emptyMklSums(shape), emptyMklSums(shape)] as const;
    addMklScores(together, a, shape);
    addMklScores(together, b, shape);
    addMklScores(apart[0], a, shape);
    addMklScores(apart[1], b, shape);
    const sum = apart[0].text.map((x, i) => x + apart[1].text[i]!);
    expectClose(together.text, sum, { rel: 1e-14 });
  });

  test('a modality without rows leaves the choice to the other', () => {
    const sums = emptyMklSums(shape);
    addMklScores(sums, { ...sample(shape, 5, () => 1), rowIsVision: new Uint8Array(ROWS) }, shape);
    expectClose(
      mklScores(sums),
      sums.text.map((x) => x / ROWS),
      { rel: 1e-15 },
    );
  });

  test('says which array does not fit', () => {
    const bad = { ...sample(shape, 5, () => 1), query: new Float32Array(3) };
    expect(() => addMklScores(emptyMklSums(shape), bad, shape)).toThrow(
      'addMklScores: query must hold 288 values, got 3.',
    );
  });
});
