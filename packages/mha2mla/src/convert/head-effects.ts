/**
 * How much a head's output moves when its scores do. A score of row i and key t that is off by δ
 * moves the output by p_t δ Wo (v_t - o), so, with errors that know nothing of each other,
 *
 *   E|Wo Δo|² = s E δ² Σ p²,  s = Σ p_t² |Wo (v_t - o)|² / Σ p_t²  over the sampled rows,
 *
 * beside Σ p² |Wo e|² for errors e of the values: s brings both to the same unit.
 */
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';
import { sampleAttention } from './sample-attention';

/** Per query head, Σ p² |Wo (v - o)|² and Σ p². */
export interface HeadEffects {
  effect: Float64Array;
  mass: Float64Array;
}

/**
 * Woᵀ Wo of each head, [N, V, V], which the caller disposes.
 * @param weight of the output projection, [N * V, D].
 */
export function outputGrams(weight: tf.Tensor, { numAttentionHeads }: DecoderConfig): tf.Tensor3D {
  return tf.tidy(() => {
    const byHead = tf.reshape(weight, [numAttentionHeads, -1, weight.shape[1]!]); // [N, V, D]
    return tf.matMul(byHead, byHead, false, true) as tf.Tensor3D;
  });
}

/**
 * @param value of the sample's keys, [T, K * V].
 * @param grams from {@link outputGrams}.
 */
export async function headEffects(
  config: DecoderConfig,
  sample: AttentionSample,
  value: tf.Tensor2D,
  grams: tf.Tensor3D,
): Promise<HeadEffects> {
  const both = tf.tidy(() => {
    const weights = sampleAttention(config, sample); // [N, L, T]
    const values = valuesOfHeads(config, value); // [N, T, V]
    const outputs = tf.matMul(weights, values); // [N, L, V]
    const seen = tf.matMul(values, grams); // [N, T, V]: (Woᵀ Wo) v
    const cross = tf.matMul(outputs, seen, false, true); // [N, L, T]
    const ofValues = tf.expandDims(tf.sum(tf.mul(seen, values), 2), 1); // [N, 1, T]
    const ofOutputs = tf.sum(tf.mul(tf.matMul(outputs, grams), outputs), 2, true); // [N, L, 1]
    const distance = tf.relu(tf.add(tf.sub(ofValues, tf.mul(cross, 2)), ofOutputs)); // |Wo (v - o)|²
    const squares = tf.square(weights);
    return tf.stack([tf.sum(tf.mul(squares, distance), [1, 2]), tf.sum(squares, [1, 2])]); // [2, N]
  });
  const found = Float64Array.from(await both.data());
  both.dispose();
  const heads = config.numAttentionHeads;
  return { effect: found.slice(0, heads), mass: found.slice(heads) };
}

/** [T, K * V] as [N, T, V]. */
export function valuesOfHeads(
  { numAttentionHeads, numKeyValueHeads }: DecoderConfig,
  value: tf.Tensor2D,
): tf.Tensor3D {
  const keys = value.shape[0];
  const byHead = tf.transpose(tf.reshape(value, [keys, numKeyValueHeads, -1]), [1, 0, 2]);
  const each = tf.tile(tf.expandDims(byHead, 1), [1, numAttentionHeads / numKeyValueHeads, 1, 1]);
  return tf.reshape(each, [numAttentionHeads, keys, -1]);
}
