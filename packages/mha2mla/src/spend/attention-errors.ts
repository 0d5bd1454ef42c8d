/**
 * How far the output of a layer's attention moves with converted keys and values: pairs that lose
 * their rotation, latents of a rank, stored in some bits. Measured, and not predicted from single
 * errors: what a latent drops is alike in many tokens and adds up, the noise of few bits averages.
 *
 *   Σ_h E|Wo_h Σ_t (p'_t v'_t - p_t v_t)|²  over the rows of text that see a picture.
 *
 * A latent is ordered by energy, so that its first dims are the latent of a lower rank.
 */
import type { QuantSpec } from '@mha2mla/kv-quant';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { answering } from '../convert/attention-shares';
import type { Modality } from '../convert/modality-mask';
import { attentionOf } from '../convert/sample-attention';
import type { ConvertedSample } from './converted-sample';
import { throughCache } from './through-cache';

/** How latents of each modality are stored. */
export type LatentSpecs = Record<Modality, QuantSpec>;

/**
 * @param samples of the layer, from `convertedSample`.
 * @param grams Woᵀ Wo of each head, [N, V, V].
 * @param ranks latent dims a KV head.
 * @param specs how latents may be stored.
 * @returns of each way the mean error of a row at each rank.
 */
export async function attentionErrors(
  config: DecoderConfig,
  samples: readonly ConvertedSample[],
  grams: tf.Tensor3D,
  { ranks, specs }: { ranks: readonly number[]; specs: readonly LatentSpecs[] },
): Promise<number[][]> {
  const errors = specs.map(() => ranks.map(() => 0));
  let count = 0;
  for (const sample of samples) {
    const rows = answering(sample.sample);
    count += rows.reduce((total, row) => total + row, 0);
    for (const [i, spec] of specs.entries()) {
      for (const [j, rank] of ranks.entries()) {
        const sum = tf.tidy(() => {
          const { key, value } = sample.read(rank, (latents, modality) =>
            throughCache(latents, spec[modality]),
          );
          const weights = attentionOf(config, sample.sample, sample.query, key);
          const moved = tf.sub(tf.matMul(weights, value), sample.output) as tf.Tensor3D; // [N, L, V]
          const mask = tf.tensor3d(Float32Array.from(rows), [1, rows.length, 1]);
          return tf.sum(tf.mul(tf.mul(tf.matMul(moved, grams), moved), mask));
        });
        errors[i]![j]! += (await sum.data())[0]!;
        sum.dispose();
      }
    }
  }
  return errors.map((own) => own.map((sum) => (count === 0 ? 0 : sum / count)));
}
