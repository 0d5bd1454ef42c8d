/** The kernel of wasm against the op it stands for, on the products of a prefill and of a decode. */
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { bench, describe } from 'vitest';
import { stackedMatMul } from './stacked-mat-mul';

await tf.setBackend('wasm');
await tf.ready();

describe.each([
  ['scores of a prompt of 600', 6, 600, 32, 600],
  ['values of a prompt of 600', 6, 600, 600, 32],
  ['scores of 40 prompts of 60', 240, 60, 32, 60],
  ['scores of 40 rows over a block of latents', 40, 256, 48, 6],
  ['values of 40 rows over a block of latents', 40, 6, 256, 48],
])('%s', (_, count, rows, inner, outer) => {
  const [a, b] = [tf.randomNormal([count, rows, inner]), tf.randomNormal([count, inner, outer])];
  bench('tf.matMul', () => tf.matMul(a, b).dispose());
  bench('stackedMatMul', () => stackedMatMul(a, b).dispose());
});
