/**
 * Weights of a matrix-vector product by format, against TensorFlow.js's own product. Bytes read are
 * what a device waits for; a software adapter's times mean nothing.
 */
import { gaussian, openWebGpu } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { bench, describe } from 'vitest';
import { runWgsl } from '../testing/run-wgsl';
import { packWeight } from '../webgpu/weight-format';
import { matVec } from './mat-vec';

const SIZE = 512;
const values = gaussian(SIZE * SIZE, 1);
const x = gaussian(SIZE, 2);

describe(`[1, ${SIZE}] times [${SIZE}, ${SIZE}]`, async () => {
  const { device } = await openWebGpu();
  await tf.setBackend('webgpu');
  for (const format of ['f32', 'f16', 'int8', 'int4'] as const) {
    const { words, scales } = packWeight(values, [SIZE, SIZE], format);
    const program = matVec({ inputs: SIZE, outputs: SIZE, format });
    const inputs = scales.length > 0 ? [x, words, scales] : [x, words];
    const kib = (words.byteLength + scales.byteLength) / 1024;
    bench(`${format}, ${kib} KiB, upload included`, async () => {
      await runWgsl(device, program, new Float32Array(SIZE), inputs);
    });
  }
  const [row, weight] = [tf.tensor2d(x, [1, SIZE]), tf.tensor2d(values, [SIZE, SIZE])];
  bench(`tf.matMul, ${(4 * SIZE * SIZE) / 1024} KiB`, async () => {
    const product = tf.matMul(row, weight);
    await product.data();
    product.dispose();
  });
});
