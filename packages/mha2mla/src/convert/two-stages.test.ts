/**
 * The paper's two stages: a model whose rotation is reduced and nothing factored is a model that can
 * be converted, with the pairs it has.
 */
import { type FileStore, memoryStore } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { describeBackends, expectClose, expectNoLeak, fixture } from '@mha2mla/testing';
import { openVlm, VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, test } from 'vitest';
import { FAMILIES } from '../node/open-model';
import { memoryOutput } from '../output/result-output';
import { traceModel } from '../trace/trace-model';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { plannedBytes } from './planned-bytes';
import { prepareConversion } from './prepare-conversion';
import { rankFileOf } from './rank-file-of';
import { openTinyLlava, type TinyLlavaOptions, tinyInputs } from './tiny-llava';

const calibration = [tinyInputs(1), tinyInputs(2)];

async function convert(source: VlmSource, options: ConvertRunOptions): Promise<VlmSource> {
  const output = memoryOutput();
  await convertModel(source, output, { calibration, ...options });
  return openVlm(memoryStore(output.files), { families: FAMILIES });
}

/** The first stage: with unrotation plain, as the second finds it. */
function partialRope(source: VlmSource, options: ConvertRunOptions = {}): Promise<VlmSource> {
  return convert(source, { ropeDim: 4, factor: 'none', unrotate: 'plain', ...options });
}

/** The pairs of a converted model as a rank file. */
function ranksOf({ config: { decoder } }: VlmSource): Uint8Array {
  const layers = decoder.mla!.ropePairs.map((heads) => ({
    ropePairs: heads.map((pairs) => [...pairs]),
  }));
  return rankFileOf(layers, decoder.headDim).ranks;
}

/** Stored bytes of all tensors, by name. */
async function tensorsOf({ checkpoint }: VlmSource): Promise<Map<string, unknown>> {
  const names = [...checkpoint.tensors.keys()].sort();
  return new Map(
    await Promise.all(
      names.map(async (name): Promise<[string, unknown]> => {
        return [name, await checkpoint.readBytes(name)];
      }),
    ),
  );
}

async function logits(source: VlmSource): Promise<Float32Array> {
  const model = await VisionLanguageModel.load(source);
  const trace = await traceModel(model, tinyInputs(3, 2));
  model.dispose();
  return trace.get('logits')!.values as Float32Array;
}

describeBackends('two stages', () => {
  test.each<[string, TinyLlavaOptions, ConvertRunOptions]>([
    ['factors of weights', {}, { rank: 4, init: 'weights' }],
    ['calibrated on partial RoPE', { bias: true }, { rank: 4, propagate: 'rope' }],
    ['calibrated on what is converted', { bias: true }, { rank: 4 }],
    ['groups, in bfloat16', { dtype: 'BF16' }, { rank: 4, groups: 2 }],
    ['split', { kvHeads: 4 }, { rank: 3, factor: 'split' }],
    ['key, one latent', { bias: true }, { rank: 3, factor: 'key', decouple: false }],
    ['centred', { bias: true }, { rank: 4, center: true }],
    ['by a budget', {}, { kvBudget: 0.5, allocation: 'uniform' }],
  ])('%s: the bytes of one stage with the same pairs', async (_, model, options) => {
    const original = await openTinyLlava(model);
    const partial = await partialRope(original);
    const given = { ropeDim: 4, ranks: ranksOf(partial), unrotate: 'plain' } as const;
    const once = await convert(original, { ...options, ...given });
    const twice = await convert(partial, options);
    expect(twice.config.source.raw).toEqual(once.config.source.raw);
    expect(await tensorsOf(twice)).toEqual(await tensorsOf(once));
  });

  test.each<[string, ConvertRunOptions, ConvertRunOptions]>([
    ['joint', { ropeDim: 4 }, { rank: 12 }],
    ['value', { ropeDim: 4 }, { rank: 8, factor: 'value' }],
    ['no pair kept', { ropeDim: 0 }, { rank: 8, factor: 'split' }],
    ['all pairs kept', { ropeDim: 8 }, { rank: 8 }],
  ])('%s: full rank keeps the logits of fitted partial RoPE', async (_, first, second) => {
    const source = await openTinyLlava({ bias: true });
    const partial = await partialRope(source, { unrotate: 'fitted', ...first });
    const expected = await logits(partial);
    for (const propagate of ['original', 'rope', 'converted'] as const) {
      const converted = await convert(partial, { ...second, propagate });
      // Logits of size 3; two factors in float32 for one map.
      expectClose(await logits(converted), expected, { abs: 1e-5 });
    }
  });

  test.each(['original', 'rope', 'converted'] as const)(
    'propagating %s: a stopped run goes on to the same bytes',
    async (propagate) => {
      const partial = await partialRope(await openTinyLlava({ bias: true }));
      const options: ConvertRunOptions = { calibration, rank: 4, propagate };
      const whole = memoryOutput();
      await convertModel(partial, whole, options);
      const output = memoryOutput();
      const abort = new AbortController();
      const stopped = convertModel(partial, output, {
        ...options,
        signal: abort.signal,
        onProgress: () => abort.abort(new Error('stopped')),
      });
      await expect(stopped).rejects.toThrow('stopped');
      await convertModel(partial, output, options);
      expect(output.files).toEqual(whole.files);
    },
  );

  test('the second leaks no tensor', async () => {
    const partial = await partialRope(await openTinyLlava());
    await expectNoLeak(async () => {
      await convertModel(partial, memoryOutput(), { calibration, rank: 4 });
    });
  });
});

describe('the second stage', () => {
  const stores: FileStore[] = [];
  afterAll(async () => {
    for (const store of stores) await store.close?.();
  });
  async function openFixture(family: string): Promise<VlmSource> {
    const store = await nodeStore(fixture(`fixtures/hf/${family}/checkpoint`));
    stores.push(store);
    return openVlm(store, { families: FAMILIES });
  }

  const options: ConvertRunOptions = { rank: 4, init: 'weights', center: false };

  test.each(['llava', 'llava_next', 'qwen2_5_vl'])('of %s', async (family) => {
    await tf.setBackend('wasm');
    const original = await openFixture(family);
    const first = { strategy: 'uniform', ropeDim: 8, videoAsText: true } as const;
    const partial = await partialRope(original, first);
    const once = await convert(original, { ...first, ...options, ranks: ranksOf(partial) });
    const twice = await convert(partial, options);
    expect(await tensorsOf(twice)).toEqual(await tensorsOf(once));
    expect(twice.config.visionTokenIds).toEqual(once.config.visionTokenIds);
  });

  test('says beforehand what it will write', async () => {
    await tf.setBackend('cpu');
    for (const bias of [false, true]) {
      const partial = await partialRope(await openTinyLlava({ bias }), { strategy: 'low' });
      const { source, plan } = prepareConversion(partial, options);
      const { layers, rest } = plannedBytes(source, plan);
      const { checkpoint } = await convert(partial, options);
      const written = [...checkpoint.tensors.values()].reduce(
        (sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1),
        0,
      );
      expect(layers.reduce((a, b) => a + b, rest)).toBe(written);
    }
  });

  test('in the layout of the reference, where a rank file has the pairs', async () => {
    await tf.setBackend('cpu');
    const original = await openTinyLlava();
    const layout = { layout: 'reference' } as const;
    const partial = await partialRope(original, layout);
    expect(partial.rankFile).toBeDefined();
    const given = { ropeDim: 4, ranks: ranksOf(partial), unrotate: 'plain' } as const;
    const once = memoryOutput();
    await convertModel(original, once, { ...options, ...layout, ...given });
    const twice = memoryOutput();
    await convertModel(partial, twice, { ...options, ...layout });
    expect([...twice.files.keys()]).toEqual([...once.files.keys()]);
    for (const name of ['config.json', 'stage1_config.json', 'ranks.pth', 'report.json']) {
      expect([name, twice.files.get(name)]).toEqual([name, once.files.get(name)]);
    }
  });

  test('refuses a model with latents', async () => {
    await tf.setBackend('cpu');
    const source = await openTinyLlava();
    for (const factor of ['joint', 'key', 'split'] as const) {
      for (const decouple of [true, false]) {
        const run: ConvertRunOptions = { ...options, factor, decouple };
        const converted = await convert(source, { strategy: 'low', ropeDim: 4, ...run });
        await expect(convert(converted, options)).rejects.toThrow(
          /partial RoPE alone \(factor none\), got a converted one with latents in layer 0/,
        );
      }
    }
  });

  test('keeps the branch that video takes', async () => {
    await tf.setBackend('wasm');
    const original = await openFixture('qwen2_5_vl');
    const partial = await partialRope(original, { strategy: 'low', videoAsText: true });
    expect(prepareConversion(partial, options).plan.videoAsText).toBe(true);
    expect(() => prepareConversion(partial, { ...options, videoAsText: false })).toThrow(
      /videoAsText must be true/,
    );
  });
});
