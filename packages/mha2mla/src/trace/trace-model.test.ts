import { nodeStore } from '@mha2mla/checkpoint/node';
import {
  describeBackends,
  expectClose,
  expectNoLeak,
  fixture,
  readSafetensors,
} from '@mha2mla/testing';
import { llava, type ModelInputs, openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { traceModel } from './trace-model';

const FOLDER = 'fixtures/hf/llava';

function golden(prompt: string) {
  return readSafetensors(fixture(`${FOLDER}/goldens/${prompt}.safetensors`));
}

function inputsOf(tensors: ReturnType<typeof golden>, pictures = tensors): ModelInputs {
  const ids = tensors.get('input_ids')!;
  const pixels = pictures.get('pixel_values');
  return {
    batch: ids.shape[0]!,
    length: ids.shape[1]!,
    inputIds: ids.data as Int32Array,
    attentionMask: tensors.get('attention_mask')!.data as Int32Array,
    pixelValues: pixels && { data: pixels.data as Float32Array, shape: pixels.shape },
  };
}

describeBackends('trace of LLaVA-1.5 equals the original', () => {
  let model: VisionLanguageModel;

  beforeAll(async () => {
    const store = await nodeStore(fixture(`${FOLDER}/checkpoint`));
    model = await VisionLanguageModel.load(await openVlm(store, { families: [llava] }));
    await store.close?.();
  });
  afterAll(() => model.dispose());

  test.each(['p0', 'p1', 'p2'])(
    '%s: vision, projector, hidden states, logits, ids',
    async (prompt) => {
      const tensors = golden(prompt);
      const trace = await traceModel(model, inputsOf(tensors), { generate: 16 });
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
      const inputs = ['input_ids', 'attention_mask', 'pixel_values', 'generated_logits'];
      expect(compared.sort()).toEqual(
        [...tensors.keys()].filter((n) => !inputs.includes(n)).sort(),
      );
    },
  );

  test('a left-padded batch gives the logits of its rows, and the greedy ids', async () => {
    const tensors = golden('batch_p0_p2');
    const inputs = inputsOf(tensors, golden('p0'));
    const trace = await traceModel(model, inputs, { generate: 16 });
    const vocabulary = model.config.decoder.vocabSize;
    const real = (values: Float32Array) =>
      values.filter((_, i) => inputs.attentionMask[Math.floor(i / vocabulary)] === 1);
    const expected = real(tensors.get('logits')!.data as Float32Array);
    expectClose(real(trace.get('logits')!.values as Float32Array), expected, { abs: 1e-4 });
    expect(trace.get('generated_ids')!.values).toEqual(tensors.get('generated_ids')!.data);
    expect(trace.get('position_ids')!.values).toEqual(tensors.get('position_ids')!.data);
  });

  test('decoding the prompt over the cache equals running it at once', async () => {
    const tensors = golden('p0');
    const trace = await traceModel(model, inputsOf(tensors), { attention: 'absorbed' });
    for (const name of ['hidden.1', 'hidden.4', 'hidden.final_norm', 'logits']) {
      const expected = tensors.get(name)!.data as Float32Array;
      expectClose(trace.get(name)!.values, expected, { abs: 1e-4 });
    }
  });

  test('a trace leaves no tensors behind', async () => {
    const inputs = inputsOf(golden('p2'));
    await expectNoLeak(async () => {
      await traceModel(model, inputs, { attention: 'absorbed', generate: 2 });
    });
  });
});
