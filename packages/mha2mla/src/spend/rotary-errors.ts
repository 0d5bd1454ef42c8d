/**
 * What rotary keys in some bits lose, in units of the attention's output: a score is off by q · e,
 * and the output by as much as `headEffects` says. A pair's angle is any, so that its two dims count
 * alike.
 */
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import { type AttentionSample, type RopePairs, splitRows } from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';
import type { AttentionMoments } from '../convert/attention-moments';
import type { LayerTensor } from '../convert/layer-weights';
import type { Modality } from '../convert/modality-mask';
import type { LatentSpecs } from './attention-errors';
import { columnsByModality } from './converted-sample';
import { throughCache } from './through-cache';

/**
 * @param samples whose tokens are looked at, with what their keys are projected from, [T, D].
 * @param weight of the rotary keys, [K * R, D].
 * @param costs of an error of each of their dims, from {@link rotaryCosts}.
 * @param specs how rotary keys of each modality are stored.
 * @returns of each way the mean error of a token; 0 where there are no tokens.
 */
export async function rotaryErrors(
  samples: readonly { sample: AttentionSample; input: Float32Array }[],
  { shape, values }: LayerTensor,
  costs: Float32Array,
  specs: readonly LatentSpecs[],
): Promise<Record<Modality, number>[]> {
  const errors = specs.map(() => ({ vision: 0, text: 0 }));
  const counts = { vision: 0, text: 0 };
  for (const { sample, input } of samples) {
    const columns = columnsByModality(sample);
    for (const modality of ['vision', 'text'] as const) {
      const own = columns[modality];
      if (own.length === 0 || costs.length === 0) continue;
      counts[modality] += own.length;
      const sums = tf.tidy(() => {
        const inputs = tf.tensor2d(input, [input.length / shape[1]!, shape[1]!]);
        const weight = tf.tensor2d(values, shape as [number, number]);
        const tokens = tf.gather(inputs, tf.tensor1d(own, 'int32'));
        const keys = tf.matMul(tokens, weight, false, true); // [T, K * R]
        const cost = tf.tensor1d(costs);
        return tf.stack(
          specs.map((spec) => {
            const off = tf.sub(keys, throughCache(keys, spec[modality]));
            return tf.sum(tf.mul(tf.square(off), cost));
          }),
        );
      });
      for (const [i, sum] of (await sums.data()).entries()) errors[i]![modality] += sum;
      sums.dispose();
    }
  }
  return errors.map(({ vision, text }) => ({
    vision: vision / Math.max(1, counts.vision),
    text: text / Math.max(1, counts.text),
  }));
}

/** Σ_h s_h E q² / H of each rotary dim, over the query heads that read it, mean of a pair; [K * R]. */
export function rotaryCosts(
  { numAttentionHeads, numKeyValueHeads, headDim }: DecoderConfig,
  pairs: RopePairs,
  { queries, effects }: AttentionMoments,
): Float32Array {
  const { ropeRows } = splitRows(pairs, { numHeads: numKeyValueHeads, numKeyValueHeads, headDim });
  const [half, group] = [headDim / 2, numAttentionHeads / numKeyValueHeads];
  const squares = queries.map((moment) => {
    const found = moment.normalized();
    return (pair: number) =>
      (found[pair * headDim + pair]! + found[(half + pair) * (headDim + 1)]!) / 2;
  });
  return Float32Array.from(ropeRows, (row) => {
    const first = Math.floor(row / headDim) * group;
    let cost = 0;
    for (let head = first; head < first + group; head++) {
      const mass = effects.mass[head]!;
      if (mass > 0)
        cost += ((effects.effect[head]! / mass) * squares[head]!((row % headDim) % half)) / headDim;
    }
    return cost;
  });
}
