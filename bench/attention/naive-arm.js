/**
 * Attention as one writes it with TensorFlow.js's own ops: the cache two tensors that concat extends,
 * KV heads tiled for the queries that share them, the whole score matrix at once.
 */
import * as tf from '@tensorflow/tfjs-core';
import { noise, pieceNoise, SEEDS, weightNoise } from './noise.js';
import { PIECE } from './shapes.js';

export function openNaiveArm(shape) {
  const { hiddenSize, numAttentionHeads: N, numKeyValueHeads: K, headDim: H, ropeTheta } = shape;
  const weightOf = (name, out, width) =>
    tf.tidy(() => tf.transpose(tf.tensor2d(weightNoise(name, [out, width]), [out, width])));
  const weights = {
    q: weightOf('q_proj', N * H, hiddenSize),
    k: weightOf('k_proj', K * H, hiddenSize),
    v: weightOf('v_proj', K * H, hiddenSize),
    o: weightOf('o_proj', hiddenSize, N * H),
  };
  const x = tf.tensor2d(noise(hiddenSize, SEEDS.input), [1, hiddenSize]);
  const fixed = {
    q: tf.tensor2d(noise(N * H, 7), [1, N * H]),
    k: tf.tensor2d(noise(K * H, 8), [1, K * H]),
    v: tf.tensor2d(noise(K * H, 9), [1, K * H]),
  };
  let filled = 0;
  let base = { keys: undefined, values: undefined };
  let now = base;

  const heads = (rows, count) => tf.transpose(tf.reshape(rows, [-1, count, H]), [1, 0, 2]); // [heads, L, H]
  const rotate = (t, start) => {
    const positions = tf.range(start, start + t.shape[1]);
    const frequencies = tf.pow(ropeTheta, tf.div(tf.range(0, H / 2), -H / 2));
    const angles = tf.mul(tf.expandDims(positions, 1), tf.tile(tf.expandDims(frequencies), [1, 2]));
    const [first, second] = tf.split(t, 2, 2);
    return tf.add(
      tf.mul(t, tf.cos(angles)),
      tf.mul(tf.concat([tf.neg(second), first], 2), tf.sin(angles)),
    );
  };
  const repeat = (t) => {
    if (N === K) return t;
    const [, length] = t.shape;
    return tf.reshape(tf.tile(tf.expandDims(t, 1), [1, N / K, 1, 1]), [N, length, H]);
  };
  const attend = (query, keys, values, masked) => {
    let scores = tf.div(tf.matMul(query, repeat(keys), false, true), Math.sqrt(H));
    if (masked) {
      const length = query.shape[1];
      const visible = tf.linalg.bandPart(tf.ones([length, length]), -1, 0);
      scores = tf.add(scores, tf.mul(tf.sub(1, visible), -1e9));
    }
    const output = tf.matMul(tf.softmax(scores), repeat(values)); // [N, L, H]
    return tf.reshape(tf.transpose(output, [1, 0, 2]), [-1, N * H]);
  };
  const append = (old, fresh) => (old ? tf.concat([old, fresh], 1) : tf.clone(fresh));
  const step = (q, k, v) => {
    const at = now.keys.shape[1];
    const keys = tf.keep(append(now.keys, rotate(heads(k, K), at)));
    const values = tf.keep(append(now.values, heads(v, K)));
    if (now !== base) tf.dispose(now);
    now = { keys, values };
    return attend(rotate(heads(q, N), at), keys, values, false);
  };

  return {
    fill(context) {
      const pieces = { key: [], value: [] };
      for (let piece = filled / PIECE; piece < context / PIECE; piece++) {
        for (const name of ['key', 'value']) {
          pieces[name].push(tf.tensor3d(pieceNoise(name, piece, PIECE, shape), [K, PIECE, H]));
        }
      }
      if (pieces.key.length === 0) return;
      const join = (old, fresh) => tf.concat(old ? [old, ...fresh] : fresh, 1);
      const grown = { keys: join(base.keys, pieces.key), values: join(base.values, pieces.value) };
      tf.dispose([pieces, base]);
      base = now = grown;
      filled = context;
    },
    rewind() {
      if (now !== base) tf.dispose(now);
      now = base;
    },
    decode: () =>
      tf.tidy(() => {
        const project = (name) => tf.matMul(x, weights[name]);
        return tf.matMul(step(project('q'), project('k'), project('v')), weights.o);
      }),
    core: () => tf.tidy(() => step(fixed.q, fixed.k, fixed.v)),
    prefill: (length) =>
      tf.tidy(() => {
        const prompt = tf.tensor2d(noise(length * hiddenSize, SEEDS.input), [length, hiddenSize]);
        const project = (name) => tf.matMul(prompt, weights[name]);
        const query = rotate(heads(project('q'), N), 0);
        const keys = rotate(heads(project('k'), K), 0);
        const attended = attend(query, keys, heads(project('v'), K), true);
        const output = tf.matMul(attended, weights.o);
        return tf.slice(output, [length - 1, 0], [1, hiddenSize]);
      }),
  };
}
