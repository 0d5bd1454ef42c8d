/** Throughput of packing and unpacking a sealed block of 256 tokens; see the README for figures. */
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { bench, describe } from 'vitest';
import { dequantize, type QuantSpec, quantize } from '../index';

const TOKENS = 256;
const CHANNELS = 512;
const values = gaussian(TOKENS * CHANNELS, 1);

const SPECS: Record<string, QuantSpec> = {
  'affine 2': { method: 'affine', bits: 2 },
  'affine 3': { method: 'affine', bits: 3 },
  'affine 4': { method: 'affine', bits: 4 },
  'affine 4 channel': { method: 'affine', bits: 4, axis: 'channel' },
  'affine 8': { method: 'affine', bits: 8 },
  'hqq 4': { method: 'hqq', bits: 4, groupSize: 64 },
  'lloyd-max 2': { method: 'lloyd-max', bits: 2 },
  'lloyd-max 4': { method: 'lloyd-max', bits: 4 },
  'lloyd-max 4 unrotated': { method: 'lloyd-max', bits: 4, rotation: 'none' },
  int8: { method: 'int8' },
  half: { method: 'half' },
};

describe.each(['wasm', 'cpu'])('%s, [1, 1, 256, 512]', async (backend) => {
  await tf.setBackend(backend);
  const x = tf.tensor(values, [1, 1, TOKENS, CHANNELS]);
  const options = {
    time: 300,
    setup: async () => {
      await tf.setBackend(backend);
    },
  };
  for (const [name, spec] of Object.entries(SPECS)) {
    const packed = quantize(x, spec);
    bench(`unpack ${name}`, () => dequantize(packed).dispose(), options);
    bench(`pack ${name}`, () => quantize(x, spec).dispose(), options);
  }
});
