/**
 * How much each modality's keys weigh in the attention of a layer: an error of a cached value
 * reaches the output of a row times the row's attention p to it, its square times p². Looked at are
 * the rows of text that have a picture before them, as those of an answer do.
 */
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';
import type { Modality } from './modality-mask';
import { sampleAttention } from './sample-attention';

/** @returns Σ p² over the keys of each modality, mean of rows and heads. */
export async function attentionShares(
  config: DecoderConfig,
  samples: readonly AttentionSample[],
): Promise<Record<Modality, number>> {
  const shares = { vision: 0, text: 0 };
  let count = 0;
  for (const sample of samples) {
    const rows = answering(sample);
    const sums = tf.tidy(() => {
      const mask = tf.tensor3d(Float32Array.from(rows), [1, rows.length, 1]);
      const squares = tf.mul(tf.square(sampleAttention(config, sample)), mask); // [N, L, T]
      return tf.sum(squares, [0, 1]); // [T]
    });
    const byKey = await sums.data();
    sums.dispose();
    for (const [key, value] of byKey.entries()) {
      shares[sample.keyIsVision?.[key] ? 'vision' : 'text'] += value;
    }
    count += config.numAttentionHeads * rows.reduce((sum, row) => sum + row, 0);
  }
  if (count === 0) return { vision: 0, text: 0 };
  return { vision: shares.vision / count, text: shares.text / count };
}

/** 1 for each row of text that sees a picture; where none does, for all. */
export function answering({ rowColumn, rowIsVision, keyIsVision }: AttentionSample): number[] {
  const first = keyIsVision ? keyIsVision.indexOf(1) : -1;
  const rows = Array.from(rowColumn, (column, row) =>
    first >= 0 && column > first && rowIsVision[row] === 0 ? 1 : 0,
  );
  return rows.includes(1) ? rows : rows.map(() => 1);
}
