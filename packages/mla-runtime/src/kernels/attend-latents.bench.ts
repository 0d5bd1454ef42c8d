/**
 * Decode attention over 4,096 latents in both segments: the programs' dispatches and the cache's
 * bytes, against the composed ops. A software adapter's times mean nothing.
 */
import { gaussian, openWebGpu } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { bench, describe } from 'vitest';
import { runWgsl } from '../testing/run-wgsl';
import { placeWords } from '../webgpu/latent-place';
import { type LatentShape, latentLayout, queryLayout } from '../webgpu/latent-shape';
import { F32_FORM } from '../webgpu/vector-form';
import { stepWords } from '../webgpu/wgsl-program';
import { attendLatents, CHUNK, mostChunks, partialSize } from './attend-latents';

const [HEADS, WIDTH, TOKENS] = [4, 64, 2048];
const SHAPE: LatentShape = {
  caches: 'latents',
  heads: HEADS,
  keyHeads: 1,
  groups: 1,
  ropeDim: 8,
  nopeDim: 8,
  valueDim: 16,
  widths: [WIDTH, WIDTH],
  latentForms: [F32_FORM, F32_FORM],
  keyForms: [F32_FORM, F32_FORM],
  biasApart: [false, false],
  tail: 'none',
};
const ROOM = { capacities: [TOKENS, TOKENS], tails: [0, 0] };

describe(`${HEADS} heads over 2 x ${TOKENS} latents of ${WIDTH}`, async () => {
  const { device } = await openWebGpu();
  await tf.setBackend('webgpu');
  const cache = gaussian(latentLayout(SHAPE, ROOM).size, 1);
  const query = gaussian(queryLayout(SHAPE).size, 2);
  const chunks = TOKENS / CHUNK;
  const step = stepWords({ stored: [TOKENS, TOKENS], chunks: [chunks, 0, chunks, 0] });
  const partials = new Float32Array(mostChunks(ROOM) * HEADS * partialSize(SHAPE));
  const options = { place: placeWords(SHAPE, ROOM), step, groups: 2 * chunks * HEADS };
  bench(`attendLatents, 1 dispatch, ${cache.byteLength / 1024} KiB, upload included`, async () => {
    await runWgsl(device, attendLatents(SHAPE), partials, [query, cache], options);
  });
  const latents = [1, 2].map((seed) =>
    tf.tensor2d(gaussian(TOKENS * WIDTH, seed), [TOKENS, WIDTH]),
  );
  const absorbed = tf.tensor2d(gaussian(HEADS * WIDTH, 3), [HEADS, WIDTH]);
  bench('composed, without rotary keys, 8 dispatches', async () => {
    const sums = tf.tidy(() => {
      const scores = latents.map((latent) => tf.matMul(absorbed, latent, false, true));
      const parts = tf.split(tf.softmax(tf.concat(scores, 1)), 2, 1);
      return parts.map((part, m) => tf.matMul(part as tf.Tensor2D, latents[m]!));
    });
    await Promise.all(sums.map((sum) => sum.data()));
    tf.dispose(sums);
  });
});
