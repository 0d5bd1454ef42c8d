import { nodeStore } from '@mha2mla/checkpoint/node';
import {
  describeBackends,
  expectClose,
  expectNoLeak,
  fixture,
  readSafetensors,
} from '@mha2mla/testing';
import { openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FAMILIES } from '../node/open-model';
import { goldenBatch, goldenInputs } from './testing/golden-inputs';
import { traceModel } from './trace-model';

/** Prompts of each family with pictures (grey ones too), videos or text, and batches of them. */
const GOLDENS = [
  { family: 'llava', prompts: ['p0', 'p1', 'p2'], batches: [['p0', 'p2']] },
  { family: 'llava_next', prompts: ['p0', 'p1', 'p2'], batches: [['p0', 'p2']] },
  {
    family: 'qwen2_5_vl',
    prompts: ['p0', 'p1', 'p2', 'p3', 'p4'],
    batches: [
      ['p0', 'p1'],
      ['p0', 'p4'],
    ],
  },
];

/** What the processor gives, and logits that no trace has. */
const NOT_TRACED = [
  'input_ids',
  'attention_mask',
  'pixel_values',
  'image_sizes',
  'image_grid_thw',
  'pixel_values_videos',
  'video_grid_thw',
  'second_per_grid_ts',
  'generated_logits',
];

const golden = (family: string, name: string) =>
  readSafetensors(fixture(`fixtures/hf/${family}/goldens/${name}.safetensors`));

async function load(folder: string): Promise<VisionLanguageModel> {
  const store = await nodeStore(fixture(folder));
  const model = await VisionLanguageModel.load(await openVlm(store, { families: FAMILIES }));
  await store.close?.();
  return model;
}

describeBackends('a trace equals the original', () => {
  describe.each(GOLDENS)('$family', ({ family, prompts, batches }) => {
    let model: VisionLanguageModel;
    beforeAll(async () => {
      model = await load(`fixtures/hf/${family}/checkpoint`);
    });
    afterAll(() => model.dispose());

    test.each(prompts)('%s: vision, positions, hidden states, logits, ids', async (prompt) => {
      const trace = await traceModel(model, await goldenInputs(family, prompt), { generate: 16 });
      const tensors = golden(family, prompt);
      const compared: string[] = [];
      for (const [name, { data, shape }] of tensors) {
        const traced = trace.get(name);
        if (!traced) continue;
        expect(traced.shape, name).toEqual(shape);
        // Float32 on both sides, summed in other orders; the logits have a deviation of 2.6.
        if (data instanceof Float32Array) expectClose(traced.values, data, { abs: 1e-4 });
        else expect([...traced.values], name).toEqual([...data]);
        compared.push(name);
      }
      const expected = [...tensors.keys()].filter((name) => !NOT_TRACED.includes(name));
      expect(compared.sort()).toEqual(expected.sort());
    });

    test.each(batches)(
      'a left-padded batch of %s and %s gives the logits of its rows, and the greedy ids',
      async (...names) => {
        const inputs = await goldenBatch(family, names);
        const trace = await traceModel(model, inputs, { generate: 16 });
        const tensors = golden(family, `batch_${names.join('_')}`);
        const vocabulary = model.config.decoder.vocabSize;
        const real = (values: Float32Array) =>
          values.filter((_, i) => inputs.attentionMask[Math.floor(i / vocabulary)] === 1);
        const expected = real(tensors.get('logits')!.data as Float32Array);
        expectClose(real(trace.get('logits')!.values as Float32Array), expected, { abs: 1e-4 });
        for (const name of ['generated_ids', 'position_ids', 'rope_deltas']) {
          expect(trace.get(name)?.values, name).toEqual(tensors.get(name)?.data);
        }
      },
    );

    test('decoding the prompt over the cache equals running it at once', async () => {
      const inputs = await goldenInputs(family, 'p0');
      const trace = await traceModel(model, inputs, { attention: 'absorbed' });
      const tensors = golden(family, 'p0');
      for (const name of ['hidden.1', 'hidden.4', 'hidden.final_norm', 'logits']) {
        const expected = tensors.get(name)!.data as Float32Array;
        expectClose(trace.get(name)!.values, expected, { abs: 1e-4 });
      }
    });

    test('a trace leaves no tensors behind', async () => {
      const inputs = await goldenInputs(family, prompts.at(-1)!);
      await expectNoLeak(async () => {
        await traceModel(model, inputs, { attention: 'absorbed', generate: 2 });
      });
    });
  });
});
