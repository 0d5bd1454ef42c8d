import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { test } from 'vitest';
import { gramOnDevice } from './gram-on-device';

describeBackends('the Gram matrix', () => {
  test.each([7, 1023, 1025, 2050])('of %i columns is the product, whole', async (n) => {
    const a = tf.tensor2d(new Float32Array(gaussian(3 * n, 1)), [3, n]);
    const [found, expected] = tf.tidy(() => [gramOnDevice(a), tf.matMul(a, a, true)]);
    expectClose(await found.data(), await expected.data(), { abs: 1e-5 });
    tf.dispose([a, found, expected]);
  });
});
