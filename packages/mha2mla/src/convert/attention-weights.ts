/**
 * How much errors of a KV head's keys and values cost at the attention's output (FORMULAS F5):
 *
 *   keys    A_K = Σ_h s_h E[q qᵀ] / H   on the dims that are not rotated,
 *   values  A_V = Σ_h Wo_hᵀ Wo_h        over the head's query heads h.
 *
 * Queries are as they will meet the key, the multipliers that stand for their rotation included.
 */
import type { OutputWeights } from '@mha2mla/lowrank';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import { applyUnrotation, type RopePairs, splitRows, type Unrotation } from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';
import type { AttentionMoments } from './attention-moments';
import { outputGrams } from './head-effects';
import type { LayerWeights } from './layer-weights';

export interface AttentionWeights {
  /** A KV head [P, P]. */
  key: OutputWeights;
  /** A KV head [V, V]. */
  value: OutputWeights;
}

/** @param weights the original layer's. */
export async function attentionWeights(
  config: DecoderConfig,
  weights: LayerWeights,
  pairs: RopePairs,
  unrotation: Unrotation | undefined,
  moments: AttentionMoments,
): Promise<AttentionWeights> {
  return {
    key: keyWeights(config, pairs, unrotation, moments),
    value: await valueWeights(config, weights),
  };
}

function keyWeights(
  config: DecoderConfig,
  pairs: RopePairs,
  unrotation: Unrotation | undefined,
  { queries, effects }: AttentionMoments,
): OutputWeights {
  const { numAttentionHeads, numKeyValueHeads, headDim } = config;
  const counts = { numHeads: numAttentionHeads, numKeyValueHeads, headDim };
  const { nopeRows } = splitRows(pairs, counts);
  const width = nopeRows.length / numAttentionHeads;
  const moments = turned(
    queries.map((moment) => moment.normalized()),
    headDim,
    unrotation,
  );
  const blocks = Array.from({ length: numKeyValueHeads }, () => new Float64Array(width * width));
  for (const [head, moment] of moments.entries()) {
    const block = blocks[Math.floor((head * numKeyValueHeads) / numAttentionHeads)]!;
    const { [head]: effect = 0 } = effects.effect;
    const scale = effect > 0 ? effect / effects.mass[head]! / headDim : 0;
    const dims = nopeRows.subarray(head * width, (head + 1) * width);
    for (const [i, row] of dims.entries()) {
      for (const [j, column] of dims.entries()) {
        block[i * width + j]! += scale * moment[(row % headDim) * headDim + (column % headDim)]!;
      }
    }
  }
  return blocks;
}

/** E[q qᵀ] of each head [H, H] after its multipliers C: C E[q qᵀ] Cᵀ. */
function turned(
  moments: readonly Float64Array[],
  headDim: number,
  unrotation: Unrotation | undefined,
): ArrayLike<number>[] {
  if (!unrotation) return [...moments];
  const size = headDim * headDim;
  let all = new Float32Array(moments.length * size);
  for (const [head, moment] of moments.entries()) all.set(moment, head * size);
  for (let side = 0; side < 2; side++) {
    const rows = applyUnrotation(all, unrotation, { headDim, width: headDim });
    all = rows.map((_, i) => {
      const [row, column] = [Math.floor(i / headDim) % headDim, i % headDim];
      return rows[i - row * headDim - column + column * headDim + row]!;
    });
  }
  return moments.map((_, head) => all.subarray(head * size, (head + 1) * size));
}

async function valueWeights(config: DecoderConfig, weights: LayerWeights): Promise<OutputWeights> {
  const { numAttentionHeads, numKeyValueHeads } = config;
  const { shape, values } = weights.get('self_attn.o_proj.weight')!;
  const sums = tf.tidy(() => {
    const stored = tf.tensor2d(values, shape as [number, number]); // [D, N * V]
    const grams = outputGrams(tf.transpose(stored), config);
    const [, width] = grams.shape;
    const groups = numAttentionHeads / numKeyValueHeads;
    return tf.sum(tf.reshape(grams, [numKeyValueHeads, groups, width * width]), 1); // [K, V * V]
  });
  const found = Float64Array.from(await sums.data());
  sums.dispose();
  const size = found.length / numKeyValueHeads;
  return Array.from({ length: numKeyValueHeads }, (_, head) =>
    found.slice(head * size, (head + 1) * size),
  );
}
