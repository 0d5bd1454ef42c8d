/** Against absorbed attention over the same cache, on every backend by the way that it takes. */
import { QuantizedCache } from '@mha2mla/kv-quant';
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import type { CachedVectors } from '../cache/layer-cache';
import { denseProjection } from '../dense-projection';
import type { Projection } from '../projection';
import { absorbedAttention } from './absorbed-attention';
import { absorbWeights, disposeAbsorbed } from './absorbed-weights';
import { MASKED } from './causal-attention';
import { expandedAttention, isWorthExpanding } from './expanded-attention';

const [HEADS, KEY_HEADS, NOPE, VALUE, LATENT] = [6, 2, 5, 8, 12] as const;

interface Case {
  batch: number;
  /** L. */
  queries: number;
  groups: number;
  rope: number;
  /** Tokens of each segment. */
  tokens: number[];
  bias?: boolean;
  /** Rotated keys of all heads side by side. */
  packed?: boolean;
  /** Bits of latents; exact without. */
  bits?: 4 | 8;
}

const ONE: Case = { batch: 1, queries: 7, groups: 1, rope: 4, tokens: [9] };
const CASES: Record<string, Case> = {
  'one segment': ONE,
  'two, with biases, in groups': { ...ONE, groups: 2, tokens: [300, 11], bias: true },
  'rows of a batch': { ...ONE, batch: 3, tokens: [5, 70] },
  'nothing turned': { ...ONE, rope: 0, tokens: [20, 3] },
  'keys side by side': { ...ONE, packed: true, tokens: [20, 3] },
  'few queries, of rows': { ...ONE, batch: 2, queries: 2, groups: 2, tokens: [70, 9], bias: true },
  'few queries, packed keys': { ...ONE, queries: 1, packed: true, bits: 8, tokens: [9, 70] },
  'latents of 4 bits': { ...ONE, bits: 4, tokens: [40, 3] },
};

function cached(shape: [number, number, number, number], seed: number, bits?: 4 | 8) {
  const cache = new QuantizedCache({
    blockLength: 64,
    ...(bits && { spec: { method: 'affine', bits, groupSize: LATENT } }),
  });
  tf.tidy(() => cache.append(tf.tensor4d(gaussian(tf.util.sizeFromShape(shape), seed), shape)));
  return cache;
}

function projection(inputs: number, outputs: number, seed: number, bias = false): Projection {
  return denseProjection(
    tf.tensor2d(
      gaussian(inputs * outputs, seed).map((value) => value / 3),
      [inputs, outputs],
    ),
    bias ? tf.tensor1d(gaussian(outputs, seed + 1)) : undefined,
  );
}

/** Both ways over the same values. */
function bothWays({ batch, queries, groups, rope, tokens, bias, packed, bits }: Case) {
  const caches: CachedVectors[] = [];
  const keep = <C extends CachedVectors>(cache: C): C => {
    caches.push(cache);
    return cache;
  };
  const perKey = (HEADS / KEY_HEADS) * queries;
  const maps = tokens.map((_, m) => ({
    upKey: projection(LATENT / groups, KEY_HEADS * NOPE, 40 + 10 * m, bias),
    upValue: projection(LATENT / groups, KEY_HEADS * VALUE, 45 + 10 * m, bias),
  }));
  const shape = {
    ...{ numAttentionHeads: HEADS, numKeyValueHeads: KEY_HEADS, headDim: VALUE },
    ...{ qkRopeHeadDim: rope, qkNopeHeadDim: NOPE, ropePairs: undefined, groups },
  };
  const weights = maps.map(({ upKey, upValue }) => absorbWeights(upKey, upValue, shape));
  const results = tf.tidy(() => {
    const nope = tf.tensor4d(gaussian(batch * HEADS * queries * NOPE, 1), [
      ...[batch, KEY_HEADS, perKey, NOPE],
    ] as [number, number, number, number]);
    const turned = tf.tensor4d(gaussian(batch * HEADS * queries * rope, 2), [
      batch,
      KEY_HEADS,
      perKey,
      rope,
    ] as [number, number, number, number]);
    const segments = tokens.map((count, m) => ({
      latents: keep(cached([batch, groups, count, LATENT / groups], 10 + m, bits)),
      keys: keep(
        cached(
          packed ? [batch, 1, count, KEY_HEADS * rope] : [batch, KEY_HEADS, count, rope],
          20 + m,
        ),
      ),
      offset: tf.tensor4d(
        gaussian(batch * queries * count, 30 + m).map((value) => (value > 1 ? MASKED : value)),
        [batch, 1, queries, count],
      ),
    }));
    return [
      expandedAttention(
        nope,
        turned,
        segments.map((own, m) => ({ ...own, ...maps[m]! })),
        groups,
      ),
      absorbedAttention(
        nope,
        turned,
        segments.map((own, m) => ({ ...own, weights: weights[m]! })),
      ),
    ] as const;
  });
  for (const own of [...caches, ...maps.flatMap((own) => Object.values(own))]) own.dispose();
  for (const own of weights) disposeAbsorbed(own);
  return results;
}

describeBackends('expandedAttention', () => {
  test.each(Object.entries(CASES))('is absorbed attention: %s', async (_, own) => {
    await expectNoLeak(async () => {
      const [expanded, absorbed] = bothWays(own);
      expect(expanded.shape).toEqual([own.batch, HEADS * own.queries, VALUE]);
      // Values of up to 12 products, after scores of as many.
      expectClose(await expanded.data(), await absorbed.data(), { abs: 1e-5 });
      tf.dispose([expanded, absorbed]);
    });
  });
});

describe('isWorthExpanding', () => {
  /** A group of 4 heads of Llama-3-8B: latents of 256 values, 96 + 32 and 128 dims a head. */
  const widths = { width: 256, rope: 32, valueDim: 128 };
  const queries = (count: number, nope = 96, batch = 1) =>
    ({ shape: [batch, 8, 4 * count, nope] }) as tf.Tensor4D;

  test('where queries are many, and what is made is not too much', () => {
    expect(isWorthExpanding(queries(1), 4096, widths)).toBe(false);
    expect(isWorthExpanding(queries(49), 4096, widths)).toBe(false);
    expect(isWorthExpanding(queries(50), 4096, widths)).toBe(true);
    expect(isWorthExpanding(queries(256), 32768, widths)).toBe(true);
    expect(isWorthExpanding(queries(256), 32769, widths)).toBe(false);
    expect(isWorthExpanding(queries(256, 96, 2), 32768, widths)).toBe(false);
  });

  test('never without dims that are not turned, nor where latents are narrower than a head', () => {
    expect(isWorthExpanding(queries(256, 0), 64, widths)).toBe(false);
    expect(isWorthExpanding(queries(256), 64, { ...widths, width: 64 })).toBe(false);
  });
});
