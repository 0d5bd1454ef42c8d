import { expectClose, gaussian } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import type { AttentionSample } from './attention-sample';
import { addMklScores, type MklOptions } from './mkl-scores';
import { emptyMklSums, type MklSums, mklScores } from './mkl-sums';
import { ranksFromScores } from './ranks';

const ROWS = 9;
const KEYS = 12;

function sample(
  options: MklOptions,
  seed: number,
  scale: (dim: number) => number,
): AttentionSample {
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

/** Let pair 3 of every head (of 8 dims) be (3, 0) in queries and (bias, 0) in keys, of this speed. */
function withKeyBias(s: AttentionSample, bias: number, speed: number): AttentionSample {
  const pair = (values: ArrayLike<number>, value: number) =>
    Float64Array.from(values, (x, i) => (i % 8 === 3 ? value : i % 8 === 7 ? 0 : x));
  const angles = (
    table: ArrayLike<number>,
    f: (x: number) => number,
    column: (i: number) => number,
  ) => Float64Array.from(table, (x, i) => (i % 4 === 3 ? f(speed * column(Math.floor(i / 4))) : x));
  const row = (i: number) => s.rowColumn[i]!;
  const own = (i: number) => i;
  return {
    ...s,
    query: pair(s.query, 3),
    key: pair(s.key, bias),
    queryCos: angles(s.queryCos, Math.cos, row),
    querySin: angles(s.querySin, Math.sin, row),
    keyCos: angles(s.keyCos, Math.cos, own),
    keySin: angles(s.keySin, Math.sin, own),
  };
}

/** T by its definition: every score recomputed with the pair changed, softmax, KL. */
function bruteForce(s: AttentionSample, options: MklOptions): { vision: number[]; text: number[] } {
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
  const logSoftmax = (h: number, row: number, changed: number) => {
    const scores = Array.from({ length: s.rowColumn[row]! + 1 }, (_, j) =>
      s.keyMask![j] ? score(h, row, j, changed) : Number.NEGATIVE_INFINITY,
    );
    const max = Math.max(...scores);
    const logSum = max + Math.log(scores.reduce((sum, x) => sum + Math.exp(x - max), 0));
    return scores.map((x) => x - logSum);
  };
  for (let h = 0; h < N; h++) {
    for (let row = 0; row < ROWS; row++) {
      const p = logSoftmax(h, row, -1);
      for (let k = 0; k < half; k++) {
        const q = logSoftmax(h, row, k);
        const kl = p.reduce((sum, x, j) => {
          return x > Number.NEGATIVE_INFINITY ? sum + Math.exp(x) * (x - q[j]!) : sum;
        }, 0);
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
    // Both are float64; brute force loses digits in log p - log q, hence not exact.
    expectClose(sums.vision, expected.vision, { abs: 1e-12, rel: 1e-9 });
    expectClose(sums.text, expected.text, { abs: 1e-12, rel: 1e-9 });
    expect([sums.visionRows, sums.textRows]).toEqual([3, 6]);
  });

  // A key bias on pair 3, as Qwen2.5 has it. At rest (speed 0) taking the pair out moves all
  // scores alike, which changes nothing; turning, it hides keys from P that P^(3) lies on.
  test.each([
    { variant: 'zero', speed: 0, bias: 30 },
    { variant: 'zero', speed: 0, bias: 800 },
    { variant: 'unrotate', speed: 1, bias: 800 },
  ] as const)('a large key bias equals brute force: %j', ({ variant, speed, bias }) => {
    const options = { ...shape, variant };
    const biased = withKeyBias(
      sample(shape, 11, () => 1),
      bias,
      speed,
    );
    const sums = emptyMklSums(shape);
    addMklScores(sums, biased, options);
    const expected = bruteForce(biased, options);
    // Brute force rounds scores of 850 to 1e-13.
    expectClose(sums.vision, expected.vision, { abs: 1e-10, rel: 1e-9 });
    expectClose(sums.text, expected.text, { abs: 1e-10, rel: 1e-9 });
    expect(sums.text[3]! > 1).toBe(speed > 0);
  });

  test('keys of a Float32Array that padding has left as NaN take no part', () => {
    const clean = sample(shape, 13, () => 1);
    const dirty = sample(shape, 13, () => 1);
    for (let head = 0; head < 2; head++) {
      (dirty.key as Float32Array).fill(Number.NaN, (head * KEYS + 1) * 8, (head * KEYS + 2) * 8);
    }
    const [a, b] = [emptyMklSums(shape), emptyMklSums(shape)];
    addMklScores(a, clean, shape);
    addMklScores(b, dirty, shape);
    expect(b).toEqual(a);
  });

  test('a row that sees padding only is not counted', () => {
    const one = sample(shape, 15, () => 1);
    const keyMask = Uint8Array.from({ length: KEYS }, (_, j) => (j > 4 ? 1 : 0));
    const sums = emptyMklSums(shape);
    addMklScores(sums, { ...one, keyMask }, shape); // rows 0 and 1 are columns 3 and 4
    expect([sums.visionRows, sums.textRows]).toEqual([2, 5]);
    expect([...sums.vision, ...sums.text].every(Number.isFinite)).toBe(true);
    const none = emptyMklSums(shape);
    addMklScores(none, { ...one, keyMask: new Uint8Array(KEYS) }, shape);
    expect(none).toEqual(emptyMklSums(shape));
  });

  test('without a mask all keys count', () => {
    const { keyMask: _, ...open } = sample(shape, 17, () => 1);
    const [a, b] = [emptyMklSums(shape), emptyMklSums(shape)];
    addMklScores(a, open, shape);
    addMklScores(b, { ...open, keyMask: new Uint8Array(KEYS).fill(1) }, shape);
    expect(a).toEqual(b);
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

  test.each([
    [{ query: new Float32Array(3) }, {}, 'query must hold 288 values, got 3.'],
    [{ key: new Float32Array(3) }, {}, 'key must hold 192 values, got 3.'],
    [{ keyCos: new Float32Array(47) }, {}, 'keyCos must hold 44 values, got 47.'],
    [{ keyMask: new Uint8Array(3) }, {}, 'keyMask must hold 12 values, got 3.'],
    [{ rowColumn: new Int32Array(ROWS).fill(12) }, {}, 'rowColumn must lie in [0, 12), got 12.'],
    [{}, { numKeyValueHeads: 3 }, 'KV heads divide the query heads, got headDim=8'],
    [{}, { numAttentionHeads: 8, numKeyValueHeads: 4 }, 'query must hold 576 values, got 288.'],
  ])('says what does not fit: %#', (change, options, message) => {
    const bad = { ...sample(shape, 5, () => 1), ...change };
    const run = () => addMklScores(emptyMklSums(shape), bad, { ...shape, ...options });
    expect(run).toThrow(RangeError);
    expect(run).toThrow(`addMklScores: `);
    expect(run).toThrow(message);
  });

  test('refuses sums of another shape', () => {
    const sums = emptyMklSums({ ...shape, headDim: 4 });
    expect(() =>
      addMklScores(
        sums,
        sample(shape, 5, () => 1),
        shape,
      ),
    ).toThrow('addMklScores: sums must hold 8 values a modality, got 4 and 4.');
  });
});

describe('mklScores', () => {
  const sums: MklSums = {
    split: 'rows',
    vision: Float64Array.of(2, 4),
    text: Float64Array.of(30, 10),
    between: Float64Array.of(100, 200),
    visionRows: 2,
    textRows: 10,
  };

  test('each modality is a mean over its own rows, however many there are', () => {
    expect([...mklScores(sums)]).toEqual([2, 1.5]);
    expect([...mklScores(sums, { visionWeight: 1 })]).toEqual([1, 2]);
    expect([...mklScores(sums, { visionWeight: 0 })]).toEqual([3, 1]);
  });

  test('refuses a weight outside [0, 1], and no rows', () => {
    expect(() => mklScores(sums, { visionWeight: 1.5 })).toThrow(
      'mklScores: visionWeight must lie in [0, 1], got 1.5.',
    );
    expect(() => mklScores({ ...sums, visionRows: 0, textRows: 0 })).toThrow(
      'mklScores: expected rows, got none.',
    );
  });
});
