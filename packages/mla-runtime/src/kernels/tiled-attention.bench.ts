/** The kernel of webgpu against the ops it stands for. A software adapter's times mean nothing. */
import { openWebGpu } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { bench, describe } from 'vitest';
import { tiledAttention } from './tiled-attention';

const [HEADS, WIDTH] = [4, 32];

describe.each([64, 256])('a prompt of %i', async (length) => {
  await openWebGpu();
  await tf.setBackend('webgpu');
  const query = tf.randomNormal([1, length, HEADS, WIDTH]);
  const keys = tf.randomNormal([1, HEADS, WIDTH, length]);
  const values = tf.randomNormal([1, HEADS, length, WIDTH]);
  const mask = tf.zeros([length, length]);
  const read = async (output: tf.Tensor) => {
    await output.data();
    output.dispose();
  };
  // 7 dispatches, which write and read HEADS * length * length scores four times.
  bench('composed', () =>
    read(
      tf.tidy(() => {
        const scores = tf.matMul(tf.transpose(tf.mul(query, 0.2), [0, 2, 1, 3]), keys);
        const output = tf.matMul(tf.softmax(tf.add(scores, mask)), values);
        return tf.transpose(output, [0, 2, 1, 3]);
      }),
    ),
  );
  bench('tiledAttention', () => read(tiledAttention({ query, keys, values }, 0.2)));
});
