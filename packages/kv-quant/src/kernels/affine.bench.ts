/** Throughput of packing and unpacking a sealed block of 256 tokens; see the README for figures. */
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { bench, describe } from 'vitest';
import { dequantizeAffine, quantizeAffine } from '../index';

const TOKENS = 256;
const CHANNELS = 512;
const values = gaussian(TOKENS * CHANNELS, 1);

describe.each(['wasm', 'cpu'])('%s, [1, 1, 256, 512], groups of 32', async (backend) => {
  await tf.setBackend(backend);
  const x = tf.tensor(values, [1, 1, TOKENS, CHANNELS]);
  for (const bits of [4, 8, 16] as const) {
    const packed = quantizeAffine(x, { bits, groupSize: 32 });
    const onBackend = {
      setup: async () => {
        await tf.setBackend(backend);
      },
    };
    bench(`unpack ${bits} bits`, () => dequantizeAffine(packed).dispose(), onBackend);
    bench(
      `pack ${bits} bits`,
      () => quantizeAffine(x, { bits, groupSize: 32 }).dispose(),
      onBackend,
    );
  }
});
