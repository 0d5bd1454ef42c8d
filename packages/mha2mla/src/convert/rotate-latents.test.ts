import { memoryStore } from '@mha2mla/checkpoint';
import { loadDecoder, prefillStep, VISION } from '@mha2mla/mla-runtime';
import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import { llava, openVlm } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { type ConvertRunOptions, convertModel } from './convert-model';
import type { LayerTensor } from './layer-weights';
import { planConversion } from './plan-conversion';
import { rotateLatents } from './rotate-latents';
import { openTinyLlava } from './tiny-llava';

const WEIGHTS = { strategy: 'high', init: 'weights', dtype: 'F32' } as const;

function tensor(shape: [number, number], values: ArrayLike<number>): LayerTensor {
  return { shape, values: Float32Array.from(values) };
}

test('a channel of a latent is spread over its block, and no further', () => {
  const width = 24; // blocks of 16 and 8
  const one = Float32Array.from({ length: width }, (_, c) => (c === 17 ? 4 : 0));
  const tensors = new Map([
    ['self_attn.kv_proj_img.down_kv.weight', tensor([width, 1], one)],
    ['self_attn.kv_proj_img.up_v.weight', tensor([1, width], one)],
    ['self_attn.kv_proj_img.up_v.bias', tensor([1, 1], [7])],
    ['self_attn.q_proj.weight', tensor([width, 1], one)],
  ]);
  const turned = rotateLatents(tensors, { largest: 16, groups: 1 });
  for (const name of ['down_kv', 'up_v']) {
    const { values } = turned.get(`self_attn.kv_proj_img.${name}.weight`)!;
    expect([...values.subarray(0, 16)]).toEqual(new Array(16).fill(0));
    expectClose(values.subarray(16).map(Math.abs), new Array(8).fill(4 / Math.sqrt(8)), {
      rel: 1e-7,
    });
  }
  for (const name of ['self_attn.kv_proj_img.up_v.bias', 'self_attn.q_proj.weight']) {
    expect(turned.get(name)).toBe(tensors.get(name));
  }
});

describeBackends('a model whose latents are turned', () => {
  test.each<[string, ConvertRunOptions]>([
    ['decoupled', { rank: 6 }],
    ['shared, a width that is no power of two', { rank: 5, decouple: false }],
    ['2 groups', { rank: 6, groups: 2 }],
  ])('gives what it gave: %s', async (_, options) => {
    const plain = await hiddenOf({ ...WEIGHTS, ...options });
    const turned = await hiddenOf({ ...WEIGHTS, ...options, hadamard: 4 });
    // Weights rounded to f32 twice, through two layers of values of size 3.
    expectClose(turned, plain, { abs: 1e-5 });
  });
});

async function hiddenOf(options: ConvertRunOptions): Promise<Float32Array> {
  const output = memoryOutput();
  await convertModel(await openTinyLlava({ bias: true }), output, options);
  const { config, weights } = await openVlm(memoryStore(output.files), { families: [llava] });
  const decoder = await loadDecoder(config.decoder, weights);
  const { hiddenSize } = config.decoder;
  const kinds = Uint8Array.from({ length: 6 }, (_, t) => (t === 2 ? VISION : 1));
  const layout = { batch: 1, length: 6, kinds };
  const step = prefillStep(layout, Int32Array.of(0, 1, 2, 3, 4, 5), config.decoder);
  const embeds = tf.tensor3d(gaussian(6 * hiddenSize, 1), [1, 6, hiddenSize]);
  const hidden = await decoder.prefill(embeds, step);
  const values = (await hidden.data()) as Float32Array;
  tf.dispose([embeds, hidden]);
  step.dispose();
  decoder.dispose();
  return values;
}

test('what is stored says that latents are turned, so that no cache turns them back', async () => {
  const { config } = await openTinyLlava();
  const cacheOf = (options: ConvertRunOptions) =>
    planConversion(config.decoder, { ...WEIGHTS, ...options, rank: 4 }).cache;
  expect(cacheOf({})).toEqual({});
  expect(cacheOf({ hadamard: 4, cache: { kvBits: 3 } })).toEqual({
    kvBits: 3,
    latentsTurned: true,
  });
  expect(cacheOf({ hadamard: 4, layout: 'reference' })).toEqual({});
});

test.each<[ConvertRunOptions, RegExp]>([
  [{ hadamard: 3, rank: 4 }, /hadamard must be a power of two of at least 2, got 3/],
  [{ hadamard: 1, rank: 4 }, /got 1/],
  [{ hadamard: 8, rank: 2, factor: 'split' }, /hadamard needs factor joint, got split/],
])('%j is refused', async (options, message) => {
  const { config } = await openTinyLlava();
  expect(() => planConversion(config.decoder, options)).toThrow(message);
});
