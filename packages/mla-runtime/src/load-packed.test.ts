/** A decoder loaded packed is the decoder of the weights that its words stand for. */
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { type LoadDecoderOptions, loadDecoder } from './load-decoder';
import { storeWeights } from './packed/store-affine.reference';
import {
  type RandomDecoderOptions,
  type RandomWeights,
  randomConfig,
  randomWeights,
  readerOf,
} from './random-weights.reference';
import { prefillStep } from './step';
import { TEXT as T, VISION as V } from './token-layout';
import { packWeight, type WeightFormat } from './webgpu/weight-format';
import { unpackWeight } from './webgpu/weight-format.reference';
import type { WeightReader } from './weight-reader';

const KINDS = [T, V, V, T, V, T];
const GROUP = 8;

/** Matrices replaced by what their packed form stands for. */
function rounded(weights: RandomWeights, format: WeightFormat): RandomWeights {
  return new Map(
    [...weights].map(([name, weight]) => {
      const [outputs, inputs] = weight.shape;
      if (inputs === undefined || weight.values.length === 0) return [name, weight];
      const packed = packWeight(weight.values, [outputs!, inputs], format, GROUP);
      return [name, { ...weight, values: unpackWeight(packed) }];
    }),
  );
}

/** Hidden states of a prompt, and logits of a token after it. */
async function run(
  options: RandomDecoderOptions,
  weights: RandomWeights,
  load?: LoadDecoderOptions,
  tied = false,
  reader: WeightReader = readerOf(weights),
) {
  const config = { ...randomConfig(options), tieWordEmbeddings: tied };
  const decoder = await loadDecoder(config, reader, load);
  const positions = Int32Array.from(KINDS, (_, t) => t);
  const layout = { batch: 1, length: KINDS.length, kinds: Uint8Array.from(KINDS) };
  const step = prefillStep(layout, positions, config);
  const cache = decoder.createCache(1);
  const embeds = decoder.embed(
    positions.map((t) => (5 * t + 3) % 19),
    [1, KINDS.length],
  );
  const hidden = await decoder.prefill(embeds, step, { cache });
  const logits = decoder.decode(Int32Array.of(4), Int32Array.of(KINDS.length), cache);
  const values = [...(await hidden.data()), ...(await logits.data())];
  tf.dispose([embeds, hidden, logits]);
  step.dispose();
  cache.dispose();
  decoder.dispose();
  return values;
}

/** The same of weights as they are, on wasm, which compiles nothing. */
async function runPlain(options: RandomDecoderOptions, weights: RandomWeights, tied?: boolean) {
  const backend = tf.getBackend();
  await tf.setBackend('wasm');
  const values = await run(options, weights, {}, tied);
  await tf.setBackend(backend);
  return values;
}

const FORMS: [string, RandomDecoderOptions][] = [
  ['original', { form: 'original' }],
  ['partial RoPE', { form: 'none' }],
  ['joint, decoupled', { decoupled: true }],
  ['joint in groups', { decoupled: true, groups: 2, latent: 16 }],
  ['latent of width 0', { latent: 0 }],
];

describeBackends('a decoder loaded packed', { webgpu: true }, () => {
  describe.each(['f16', 'int8', 'int4'] as const)('as %s', (weights) => {
    test.each(FORMS)('%s: equals that of the rounded weights', async (_, options) => {
      const own = randomWeights(randomConfig(options), options, gaussian);
      const packed = await run(options, own, { weights, groupSize: GROUP });
      // f32 sums in another order, through two layers.
      expectClose(packed, await runPlain(options, rounded(own, weights)), { abs: 1e-5 });
    });
  });

  // Joined latents have other groups than their parts; halves have none.
  test.each(['split', 'key', 'value'] as const)(
    'latents of the form %s are rounded once',
    async (form) => {
      const own = randomWeights(randomConfig({ form }), { form }, gaussian);
      const packed = await run({ form }, own, { weights: 'f16' });
      expectClose(packed, await runPlain({ form }, rounded(own, 'f16')), { abs: 1e-5 });
    },
  );

  test('with a head that is tied to the embeddings: one matrix', async () => {
    const own = randomWeights(randomConfig(), {}, gaussian);
    const packed = await run({}, own, { weights: 'int4', groupSize: GROUP }, true);
    expectClose(packed, await runPlain({}, rounded(own, 'int4'), true), { abs: 1e-5 });
  });

  test.each([
    ['int8', /./],
    ['int4', /mlp/],
  ] as const)(
    'stored as %s where the name is like %s: equals that of the floats it stands for',
    async (format, which) => {
      const own = randomWeights(randomConfig(), {}, gaussian);
      const { reader, exact } = storeWeights(own, { format, groupSize: GROUP }, which);
      const floats = rounded(own, 'int8'); // of what is packed anew
      for (const [name, weight] of exact) if (which.test(name)) floats.set(name, weight);
      const asked = { weights: 'int8', groupSize: GROUP } as const;
      const taken = await run({}, own, asked, false, reader);
      expectClose(taken, await runPlain({}, floats), { abs: 1e-5 }); // as above
    },
  );

  test('leaves nothing behind, loaded whole or aborted between two reads', async () => {
    const own = randomWeights(randomConfig(), {}, gaussian);
    await expectNoLeak(async () => {
      await run({}, own, { weights: 'int4' });
      const { read, shape } = readerOf(own);
      const abort = new AbortController();
      const reader = {
        shape,
        read(name: string, expected: readonly number[]) {
          if (name.includes('layers.1.mlp.up')) abort.abort(new Error('enough'));
          return read(name, expected);
        },
      };
      const loading = loadDecoder(randomConfig(), reader, {
        weights: 'int4',
        signal: abort.signal,
      });
      await expect(loading).rejects.toThrow('enough');
    });
  });
});

test.each<[LoadDecoderOptions, string]>([
  [{ weights: 'int5' as WeightFormat }, 'one of f32, f16, int8, int4, got int5'],
  [{ weights: 'int4', groupSize: 12 }, 'groupSize must be a multiple of 8, got 12'],
])('refuses %o', async (options, message) => {
  const reader = readerOf(new Map());
  await expect(loadDecoder(randomConfig(), reader, options)).rejects.toThrow(message);
});
