import { applyRotary, type DecoderConfig } from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';

/** Added to the scores of keys that a row does not see. */
const MASKED = -1e9;

/** The attention of a sample's rows, [N, L, T], which the caller disposes. */
export function sampleAttention(config: DecoderConfig, sample: AttentionSample): tf.Tensor3D {
  return tf.tidy(() => weightsOf(config, sample));
}

function weightsOf(config: DecoderConfig, sample: AttentionSample): tf.Tensor3D {
  const { query, key } = rotatedHeads(config, sample);
  return attentionOf(config, sample, query, key);
}

/** Queries [N, L, H] and keys [K, T, H] of a sample, turned by the angles of their rows. */
export function rotatedHeads(config: DecoderConfig, sample: AttentionSample) {
  const { numAttentionHeads, numKeyValueHeads, headDim } = config;
  const rows = sample.rowColumn.length;
  const keys = sample.keyCos.length / (headDim / 2);
  return {
    query: rotate(sample.query, sample.queryCos, sample.querySin, [numAttentionHeads, rows]),
    key: rotate(sample.key, sample.keyCos, sample.keySin, [numKeyValueHeads, keys]),
  };
}

/** The attention [N, L, T] of queries [N, L, H] to keys [K, T, H] that stand where a sample's do. */
export function attentionOf(
  { numAttentionHeads, numKeyValueHeads, headDim }: DecoderConfig,
  sample: AttentionSample,
  query: tf.Tensor3D,
  key: tf.Tensor3D,
): tf.Tensor3D {
  const [rows, keys] = [query.shape[1], key.shape[1]];
  const grouped = tf.reshape(query, [numKeyValueHeads, -1, headDim]); // [K, G * L, H]
  const scores = tf.mul(tf.matMul(grouped, key, false, true), 1 / Math.sqrt(headDim));
  const mask = new Float32Array(rows * keys);
  for (const [row, column] of sample.rowColumn.entries()) {
    for (let t = 0; t < keys; t++) {
      if (t > column || sample.keyMask?.[t] === 0) mask[row * keys + t] = MASKED;
    }
  }
  const byHead = tf.reshape(scores, [numAttentionHeads, rows, keys]);
  return tf.softmax(tf.add(byHead, tf.tensor3d(mask, [1, rows, keys]))) as tf.Tensor3D;
}

/** Turn heads of [heads, count, H] by the angles of their rows. */
function rotate(
  values: ArrayLike<number>,
  cos: ArrayLike<number>,
  sin: ArrayLike<number>,
  [heads, count]: [number, number],
): tf.Tensor3D {
  const half = cos.length / count;
  const table = (entries: ArrayLike<number>) =>
    tf.tensor3d(Float32Array.from(entries), [1, count, half]);
  const x = tf.tensor4d(Float32Array.from(values), [heads, count, 1, 2 * half]);
  const turned = applyRotary(x, { cos: table(cos), sin: table(sin) }, undefined);
  return tf.squeeze(turned, [2]) as tf.Tensor3D;
}
