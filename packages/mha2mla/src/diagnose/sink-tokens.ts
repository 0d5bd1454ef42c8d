/**
 * Sinks: tokens that take most of the attention whatever is asked (StreamingLLM, arXiv 2309.17453),
 * and tokens whose hidden state is many times larger than others' (massive activations, arXiv
 * 2402.17762). Both have a say in calibration that is out of proportion.
 */
import { type DecoderConfig, PADDING } from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';
import { sampleAttention } from '../convert/sample-attention';
import { median } from './median';

export interface SinkTokens {
  /** Share of the attention that the one token of a sample takes which takes most; mean of samples. */
  attentionShare: number;
  /** Where that token stands among those that are not padding, most often. */
  position: number;
  /** Largest norm of a hidden state, in medians of its batch. */
  largestNorm: number;
  /** Share of the tokens whose norm is above {@link MASSIVE} medians. */
  massiveShare: number;
}

/** Medians from which on a norm counts as massive. */
const MASSIVE = 10;

export interface AttentionSink {
  attentionShare: number;
  position: number;
}

/** Rows of a sample's second half are looked at: those before see few tokens. */
export async function attentionSink(
  config: DecoderConfig,
  samples: readonly AttentionSample[],
): Promise<AttentionSink | undefined> {
  const found: { share: number; position: number }[] = [];
  for (const sample of samples) {
    const last = sample.rowColumn.reduce((a, b) => Math.max(a, b), 0);
    const rows = [...sample.rowColumn.keys()].filter((row) => 2 * sample.rowColumn[row]! >= last);
    if (rows.length === 0) continue;
    const received = tf.tidy(() => {
      const weights = tf.gather(sampleAttention(config, sample), tf.tensor1d(rows, 'int32'), 1);
      return tf.mean(weights, [0, 1]); // [T]
    });
    const shares = Float32Array.from(await received.data());
    received.dispose();
    const share = shares.reduce((most, value) => Math.max(most, value), 0);
    const first = sample.keyMask?.indexOf(1) ?? 0;
    found.push({ share, position: shares.indexOf(share) - first });
  }
  if (found.length === 0) return undefined;
  return {
    attentionShare: found.reduce((sum, { share }) => sum + share, 0) / found.length,
    position: mostFrequent(found.map(({ position }) => position)),
  };
}

/** Norms of hidden states [B, L, D] by token; padding has none. */
export async function tokenNorms(hidden: tf.Tensor3D, kinds: Uint8Array): Promise<number[]> {
  const norms = tf.tidy(() => tf.reshape(tf.norm(hidden, 'euclidean', 2), [-1]));
  const values = await norms.data();
  norms.dispose();
  return [...values].filter((_, i) => kinds[i] !== PADDING);
}

/** @param norms of all tokens of a layer. */
export function massiveTokens(
  norms: readonly number[],
): Pick<SinkTokens, 'largestNorm' | 'massiveShare'> {
  const middle = median(norms);
  if (!(middle > 0)) return { largestNorm: 0, massiveShare: 0 };
  const massive = norms.filter((norm) => norm > MASSIVE * middle).length;
  const largest = norms.reduce((a, b) => Math.max(a, b), 0);
  return { largestNorm: largest / middle, massiveShare: massive / norms.length };
}

function mostFrequent(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}
