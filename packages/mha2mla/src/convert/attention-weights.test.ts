import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { AttentionSample, Unrotation } from '@mha2mla/partial-rope';
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { AttentionMoments } from './attention-moments';
import { attentionWeights } from './attention-weights';
import { headEffects, outputGrams } from './head-effects';
import { openTinyLlava } from './tiny-llava';

const [N, K, H, D, ROWS, KEYS] = [4, 2, 8, 32, 5, 9];
const HALF = H / 2;
let config: DecoderConfig;
beforeAll(async () => {
  config = (await openTinyLlava()).config.decoder; // 4 heads, 2 KV heads of 8 dims, 32 wide
});

const column = (row: number) => row + KEYS - ROWS;
const angle = (position: number, pair: number) => position * 10 ** (-pair / 2);

function sample(seed: number): AttentionSample {
  const table = (rows: number, at: (row: number) => number, of: (x: number) => number) =>
    Float64Array.from({ length: rows * HALF }, (_, i) =>
      of(angle(at(Math.floor(i / HALF)), i % HALF)),
    );
  const own = (row: number) => row;
  return {
    query: gaussian(N * ROWS * H, seed),
    key: gaussian(K * KEYS * H, seed + 1),
    queryCos: table(ROWS, column, Math.cos),
    querySin: table(ROWS, column, Math.sin),
    keyCos: table(KEYS, own, Math.cos),
    keySin: table(KEYS, own, Math.sin),
    rowColumn: Int32Array.from({ length: ROWS }, (_, row) => column(row)),
    rowIsVision: new Uint8Array(ROWS),
    keyMask: Uint8Array.from({ length: KEYS }, (_, t) => (t === 1 ? 0 : 1)),
  };
}

/** A head's dims, turned by an angle a pair. */
function turn(x: ArrayLike<number>, start: number, position: number): number[] {
  const out = new Array<number>(H);
  for (let p = 0; p < HALF; p++) {
    const [c, s] = [Math.cos(angle(position, p)), Math.sin(angle(position, p))];
    const [a, b] = [x[start + p]!, x[start + HALF + p]!];
    out[p] = a * c - b * s;
    out[HALF + p] = b * c + a * s;
  }
  return out;
}

const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** Σ p² |Wo (v - o)|² and Σ p² of a head, by definition. */
function definition(s: AttentionSample, value: Float32Array, output: Float32Array, head: number) {
  const keyHead = Math.floor((head * K) / N);
  const rowOf = (t: number) => [
    ...value.subarray((t * K + keyHead) * H, (t * K + keyHead + 1) * H),
  ];
  let [effect, mass] = [0, 0];
  for (let row = 0; row < ROWS; row++) {
    const q = turn(s.query, (head * ROWS + row) * H, column(row));
    const seen = Array.from({ length: column(row) + 1 }, (_, t) => t).filter((t) => s.keyMask![t]);
    const scores = seen.map((t) => dot(q, turn(s.key, (keyHead * KEYS + t) * H, t)) / Math.sqrt(H));
    const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
    const p = scores.map((score) => Math.exp(score) / total);
    const o = rowOf(0).map((_, d) => seen.reduce((sum, t, i) => sum + p[i]! * rowOf(t)[d]!, 0));
    for (const [i, t] of seen.entries()) {
      const delta = rowOf(t).map((v, d) => v - o[d]!);
      for (let out = 0; out < D; out++) {
        const moved = dot(delta, [
          ...output.subarray(out * N * H + head * H, out * N * H + head * H + H),
        ]);
        effect += p[i]! ** 2 * moved ** 2;
      }
      mass += p[i]! ** 2;
    }
  }
  return [effect, mass];
}

describeBackends('what attention-aware factors weigh errors by', () => {
  const output = () => gaussian(D * N * H, 11); // o_proj [D, N * V]
  const grams = () =>
    tf.tidy(() => outputGrams(tf.transpose(tf.tensor2d(output(), [D, N * H])), config));

  test('effects of scores are those of the definition, padding left out', async () => {
    const s = sample(1);
    const padded = gaussian(KEYS * K * H, 3);
    const value = tf.tensor2d(padded, [KEYS, K * H]);
    const gram = grams();
    const found = await headEffects(config, s, value, gram);
    for (let head = 0; head < N; head++) {
      const [effect, mass] = definition(s, padded, output(), head);
      // Squares of some 30 in float32.
      expectClose([found.effect[head]!, found.mass[head]!], [effect!, mass!], { rel: 1e-4 });
    }
    tf.dispose([value, gram]);
  });

  const pairs = [Int32Array.of(1), Int32Array.of(3)];
  const unrotation = (): Unrotation => ({
    real: Float64Array.from(gaussian(N * HALF, 5)),
    imaginary: Float64Array.from(gaussian(N * HALF, 6)),
  });
  const weightsOf = (o: Float32Array) =>
    new Map([['self_attn.o_proj.weight', { shape: [D, N * H], values: o }]]);

  async function moments(queries: Float32Array, tokens: number) {
    const found = new AttentionMoments(config);
    for (let head = 0; head < N; head++) {
      const own = queries.filter((_, i) => Math.floor(i / H) % N === head);
      const x = tf.tensor2d(own, [tokens, H]);
      await found.queries[head]!.add(x);
      x.dispose();
    }
    return found.addEffects({
      effect: Float64Array.of(2, 3, 4, 5),
      mass: Float64Array.of(1, 2, 1, 2),
    });
  }

  test.each([true, false])(
    'keys: s E[q qᵀ] / H as the key meets them, multiplied: %s',
    async (fit) => {
      const tokens = 40;
      const queries = gaussian(tokens * N * H, 7);
      const own = fit ? unrotation() : undefined;
      const found = await attentionWeights(
        config,
        weightsOf(output()),
        pairs,
        own,
        await moments(queries, tokens),
      );
      const s = [2, 1.5, 4, 2.5];
      for (let keyHead = 0; keyHead < K; keyHead++) {
        const dims = [...Array(H).keys()].filter((d) => d % HALF !== pairs[keyHead]![0]);
        const expected = new Float64Array(dims.length ** 2);
        for (const head of [2 * keyHead, 2 * keyHead + 1]) {
          for (let t = 0; t < tokens; t++) {
            const q = [...queries.subarray((t * N + head) * H, (t * N + head + 1) * H)];
            const met = q.map((x, d) => {
              if (!own) return x;
              const at = head * HALF + (d % HALF);
              const [re, im] = [own.real[at]!, own.imaginary[at]!];
              return d < HALF ? re * x - im * q[d + HALF]! : re * x + im * q[d - HALF]!;
            });
            for (const [i, a] of dims.entries()) {
              for (const [j, b] of dims.entries()) {
                expected[i * dims.length + j]! += (s[head]! * met[a]! * met[b]!) / tokens / H;
              }
            }
          }
        }
        expectClose(found.key[keyHead]!, expected, { abs: 1e-5 });
      }
    },
  );

  test('values: Woᵀ Wo, added up over the heads that share them', async () => {
    const o = output();
    const found = await attentionWeights(
      config,
      weightsOf(o),
      pairs,
      undefined,
      await moments(gaussian(N * H, 1), 1),
    );
    for (let keyHead = 0; keyHead < K; keyHead++) {
      const expected = new Float64Array(H * H);
      for (const head of [2 * keyHead, 2 * keyHead + 1]) {
        for (let i = 0; i < H * H; i++) {
          const [a, b] = [head * H + Math.floor(i / H), head * H + (i % H)];
          for (let out = 0; out < D; out++)
            expected[i]! += o[out * N * H + a]! * o[out * N * H + b]!;
        }
      }
      expectClose(found.value[keyHead]!, expected, { abs: 1e-4 });
    }
  });

  test('shards add up', async () => {
    const [a, b] = [gaussian(3 * N * H, 8), gaussian(5 * N * H, 9)];
    const whole = await moments(Float32Array.of(...a, ...b), 8);
    const merged = (await moments(a, 3)).merge(await moments(b, 5));
    for (let head = 0; head < N; head++) {
      expectClose(merged.queries[head]!.sum, whole.queries[head]!.sum, { abs: 1e-5 });
    }
    expect(merged.effects.effect).toEqual(whole.effects.effect.map((x) => 2 * x));
    expect(merged.effects.mass).toEqual(whole.effects.mass.map((x) => 2 * x));
  });

  test('leaves no tensors behind', async () => {
    const value = tf.tensor2d(gaussian(KEYS * K * H, 3), [KEYS, K * H]);
    const gram = grams();
    const found = await moments(gaussian(N * H, 1), 1);
    await expectNoLeak(async () => {
      await headEffects(config, sample(1), value, gram);
      await attentionWeights(config, weightsOf(output()), pairs, unrotation(), found);
    });
    tf.dispose([value, gram]);
  });
});
