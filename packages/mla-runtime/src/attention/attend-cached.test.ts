/** Against softmax and sums in float64, on every backend by the way that it takes. */
import { QuantizedCache } from '@mha2mla/kv-quant';
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { ArenaVectors } from '../cache/arena-vectors';
import type { CachedVectors } from '../cache/layer-cache';
import { HostArena } from '../host/host-arena';
import { isTensorFlowOnProcessor } from '../kernels/host-backends';
import { attendCached } from './attend-cached';
import { MASKED } from './causal-attention';

interface Case {
  batch: number;
  groups: number;
  keyHeads: number;
  /** N. */
  heads: number;
  /** C / groups, R. */
  width: number;
  keyWidth: number;
  /** Tokens that are appended, per segment; of at least one. */
  tokens: number[][];
  /** Whether latents are scored. */
  scored?: boolean;
  bias?: boolean;
  /** Rows of an offset, [B, rows, T]; of several queries [B, 1, rows, T]. */
  offset?: number;
  queries?: boolean;
}

const ONE = { batch: 1, groups: 1, keyHeads: 1, heads: 1, width: 4, keyWidth: 4, tokens: [[1]] };
const CASES: Record<string, Case> = {
  'one token': ONE,
  'odd widths': { ...ONE, heads: 3, width: 7, keyWidth: 5, tokens: [[3, 1, 1]] },
  'joint, wide': {
    ...ONE,
    keyHeads: 4,
    heads: 28,
    width: 300,
    keyWidth: 6,
    tokens: [[70], [9, 1]],
  },
  'a group a head': {
    ...ONE,
    groups: 4,
    keyHeads: 4,
    heads: 28,
    width: 16,
    tokens: [[40], [90, 1]],
  },
  'two heads a group': {
    ...ONE,
    groups: 2,
    keyHeads: 4,
    heads: 8,
    width: 20,
    tokens: [[300], [1, 67]],
  },
  'rows with a mask': { ...ONE, batch: 3, heads: 2, width: 12, tokens: [[65], [5]], offset: 1 },
  'queries with a mask': {
    ...ONE,
    keyHeads: 2,
    heads: 12,
    width: 9,
    tokens: [[33, 3]],
    offset: 3,
    queries: true,
  },
  'a bias and an offset': {
    ...{ ...ONE, batch: 2, groups: 2, keyHeads: 2, heads: 6, width: 8, keyWidth: 0 },
    ...{ tokens: [[20], [30]], bias: true, offset: 6 },
  },
  'no latent': { ...ONE, keyHeads: 2, heads: 4, width: 0, tokens: [[10], [70]], bias: true },
  'keys and values': {
    ...{ ...ONE, groups: 2, keyHeads: 2, heads: 10, width: 24, keyWidth: 24 },
    ...{ tokens: [[257, 1]], scored: false },
  },
  'work for several threads': {
    ...{ ...ONE, groups: 2, keyHeads: 2, heads: 8, width: 64, keyWidth: 16 },
    ...{ tokens: [[1500, 700], [90]] },
  },
};

interface Given {
  values: Float32Array[];
  keys: Float32Array[];
  query: Float32Array;
  turned: Float32Array;
  bias: Float32Array;
  offsets: Float32Array[];
}

const sum = (list: readonly number[]) => list.reduce((total, value) => total + value, 0);

function given(own: Case): Given {
  const { batch, groups, keyHeads, heads, width, keyWidth, tokens, offset = 0 } = own;
  const masked = (values: Float32Array) => values.map((value) => (value > 1 ? MASKED : value));
  return {
    values: tokens.map((list, m) => gaussian(batch * groups * sum(list) * width, 10 + m)),
    keys: tokens.map((list, m) => gaussian(batch * keyHeads * sum(list) * keyWidth, 20 + m)),
    query: gaussian(batch * heads * width, 1),
    turned: gaussian(batch * heads * keyWidth, 2),
    bias: gaussian(batch * heads, 3),
    offsets: tokens.map((list, m) => masked(gaussian(batch * offset * sum(list), 30 + m))),
  };
}

/** Vectors [B, parts, T, W], appended in pieces. */
function cached(
  values: Float32Array,
  [batch, parts, width]: readonly [number, number, number],
  pieces: readonly number[],
  arena: HostArena | undefined,
): CachedVectors {
  const cache = arena ? new ArenaVectors(() => arena) : new QuantizedCache({ blockLength: 64 });
  const total = sum(pieces);
  tf.tidy(() => {
    const all = tf.tensor4d(values, [batch, parts, total, width]);
    let first = 0;
    for (const piece of pieces) {
      cache.append(tf.slice(all, [0, 0, first, 0], [batch, parts, piece, width]));
      first += piece;
    }
  });
  return cache;
}

function attended(own: Case, data: Given, arena: HostArena | undefined) {
  const { batch, groups, keyHeads, heads, width, keyWidth, tokens, scored = true } = own;
  const caches: CachedVectors[] = [];
  const keep = <C extends CachedVectors>(cache: C): C => {
    caches.push(cache);
    return cache;
  };
  const results = tf.tidy(() => {
    const segments = tokens.map((pieces, m) => ({
      values: keep(cached(data.values[m]!, [batch, groups, width], pieces, arena)),
      keys: keep(cached(data.keys[m]!, [batch, keyHeads, keyWidth], pieces, arena)),
      ...(scored && width > 0
        ? { query: tf.tensor4d(data.query, [batch, groups, heads / groups, width]) }
        : {}),
      ...(keyWidth > 0
        ? { turned: tf.tensor4d(data.turned, [batch, keyHeads, heads / keyHeads, keyWidth]) }
        : {}),
      ...(own.bias ? { bias: tf.tensor3d(data.bias, [batch, heads, 1]) } : {}),
      ...(own.offset ? { offset: offsetOf(own, data.offsets[m]!, [own.offset, sum(pieces)]) } : {}),
    }));
    return attendCached(segments, heads).map(({ sums, masses }) => [sums, masses()]);
  });
  for (const cache of caches) cache.dispose();
  return results as [tf.Tensor4D, tf.Tensor4D][];
}

function offsetOf({ batch, queries }: Case, values: Float32Array, shape: [number, number]) {
  return queries
    ? tf.tensor4d(values, [batch, 1, ...shape])
    : tf.tensor3d(values, [batch, ...shape]);
}

/** Sums and masses of each segment, in float64. */
function expected(own: Case, data: Given): [number[], number[]][] {
  const { batch, groups, keyHeads, heads, width, keyWidth, tokens, scored = true } = own;
  const results = tokens.map((): [number[], number[]] => [[], []]);
  for (let row = 0; row < batch * heads; row++) {
    const [b, head] = [Math.floor(row / heads), row % heads];
    const group = b * groups + Math.floor((head * groups) / heads);
    const keyHead = b * keyHeads + Math.floor((head * keyHeads) / heads);
    const scores = tokens.map((pieces, m) => {
      const count = sum(pieces);
      return Array.from({ length: count }, (_, t) => {
        let score = own.bias ? data.bias[row]! : 0;
        if (own.offset)
          score += data.offsets[m]![(b * own.offset + (head % own.offset)) * count + t]!;
        for (let i = 0; i < width && scored; i++) {
          score += data.query[row * width + i]! * data.values[m]![(group * count + t) * width + i]!;
        }
        for (let i = 0; i < keyWidth; i++) {
          const at = (keyHead * count + t) * keyWidth + i;
          score += data.turned[row * keyWidth + i]! * data.keys[m]![at]!;
        }
        return score;
      });
    });
    const top = Math.max(...scores.flat());
    const total = sum(scores.flat().map((score) => Math.exp(score - top)));
    for (const [m, list] of scores.entries()) {
      const weights = list.map((score) => Math.exp(score - top) / total);
      for (let i = 0; i < width; i++) {
        const at = (t: number) => (group * list.length + t) * width + i;
        results[m]![0].push(sum(weights.map((weight, t) => weight * data.values[m]![at(t)]!)));
      }
      results[m]![1].push(sum(weights));
    }
  }
  return results;
}

/** Vectors as tensors, and where this backend keeps them so, in memory of ours. */
function places(): (HostArena | undefined)[] {
  return isTensorFlowOnProcessor() ? [undefined, new HostArena()] : [undefined];
}

describeBackends('attendCached', () => {
  test.each(Object.entries(CASES))('equals float64: %s', async (_, own) => {
    const data = given(own);
    const wanted = expected(own, data);
    for (const arena of places()) {
      for (const [m, [sums, masses]] of attended(own, data, arena).entries()) {
        // Scores of up to 300 products of size 1, of f32; weights and values of size 1.
        expectClose(await sums.data(), wanted[m]![0], { abs: 2e-5 });
        expectClose(await masses.data(), wanted[m]![1], { abs: 1e-5 });
        tf.dispose([sums, masses]);
      }
    }
  });

  test('poison in a vector reaches the result, and nothing is left behind', async () => {
    const own = CASES['joint, wide']!;
    const data = given(own);
    data.values[0]![5] = Number.NaN;
    for (const arena of places()) {
      await expectNoLeak(async () => {
        const results = attended(own, data, arena);
        const [sums] = results[0]!;
        expect([...(await sums.data())].every(Number.isNaN)).toBe(true);
        tf.dispose(results);
      });
    }
  });
});
