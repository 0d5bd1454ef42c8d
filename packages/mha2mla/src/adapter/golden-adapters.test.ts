/** Adapters that HF PEFT wrote give HF PEFT's logits, merged or not, and are written back as read. */
import { readFileSync } from 'node:fs';
import { memoryStore } from '@mha2mla/checkpoint';
import { describeBackends, expectClose, expectNoLeak, fixture } from '@mha2mla/testing';
import type { ModelInputs, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { largestLogitChange, promptLogits } from './largest-logit-change';
import { loadAdapter } from './load-adapter';
import { ModelAdapters } from './model-adapters';
import { saveAdapter } from './save-adapter';
import {
  FAMILIES,
  goldenAdapter,
  goldenInputs,
  goldenTensors,
  loadGoldenModel,
} from './testing/peft-goldens';

const ADAPTERS = ['lora', 'rslora', 'dora', 'lora_list'] as const;
/** float32 sums in another order: fixtures/peft/README.md. */
const LOGITS = { abs: 1e-4 };

for (const family of FAMILIES) {
  describeBackends(`adapters of PEFT on ${family}`, () => {
    const outputs = goldenTensors(family, 'outputs');
    let model: VisionLanguageModel;
    let inputs: ModelInputs;
    let plain: Float32Array;

    beforeAll(async () => {
      model = await loadGoldenModel(family);
      inputs = await goldenInputs(family);
      plain = await promptLogits(model, inputs);
    });
    afterAll(() => model.dispose());

    test.each(ADAPTERS)('%s: logits apart and merged, then the same bits again', async (name) => {
      const adapters = new ModelAdapters(model);
      await loadAdapter(adapters, goldenAdapter(family, name), { name });
      expect(await promptLogits(model, inputs)).toEqual(plain);
      adapters.setAdapter(name);
      const apart = await promptLogits(model, inputs);
      const expected = outputs(`${name}.logits`).data;
      expectClose(apart.slice(-expected.length), expected, LOGITS);
      // Merged and apart differ by 1.6e-5 at most in PEFT.
      expect(await largestLogitChange(model, inputs, () => adapters.merge())).toBeLessThan(1e-4);
      const merged = outputs(`${name}.merged_logits`).data;
      expectClose((await promptLogits(model, inputs)).slice(-merged.length), merged, LOGITS);
      adapters.unmerge();
      expect(await promptLogits(model, inputs)).toEqual(apart);
      adapters.setAdapter(undefined);
      expect(await promptLogits(model, inputs)).toEqual(plain);
      adapters.dispose();
    });

    test('several adapters on one model are switched, and taken off again', async () => {
      const adapters = new ModelAdapters(model);
      for (const name of ADAPTERS) {
        await loadAdapter(adapters, goldenAdapter(family, name), { name });
      }
      for (const name of ['dora', 'lora_list', 'rslora', 'lora']) {
        adapters.setAdapter(name);
        const expected = outputs(`${name}.logits`).data;
        const own = await promptLogits(model, inputs);
        expectClose(own.slice(-expected.length), expected, LOGITS);
        adapters.delete(name);
        expect(await promptLogits(model, inputs)).toEqual(plain);
      }
      adapters.dispose();
      expect(await promptLogits(model, inputs)).toEqual(plain);
    });

    test('generation follows the adapter, and the model again without it', async () => {
      const tokens = async () => {
        const found: number[] = [];
        const steps = model.generate(inputs, { maxTokens: 4, eosTokenIds: [] });
        for await (const step of steps) found.push(...step.tokens);
        return found;
      };
      const adapters = new ModelAdapters(model);
      const before = await tokens();
      await loadAdapter(adapters, goldenAdapter(family, 'rslora'));
      adapters.setAdapter('default');
      const after = await tokens();
      expect(after).not.toEqual(before);
      adapters.merge();
      expect(await tokens()).toEqual(after);
      adapters.dispose();
      expect(await tokens()).toEqual(before);
    });

    test('loading, switching, merging and saving leave nothing behind', () =>
      expectNoLeak(async () => {
        const adapters = new ModelAdapters(model);
        for (const name of ['dora', 'lora_list']) {
          await loadAdapter(adapters, goldenAdapter(family, name), { name });
          adapters.setAdapter(name);
          adapters.merge();
          await saveAdapter(adapters, name, memoryOutput());
        }
        await largestLogitChange(model, inputs, () => adapters.unmerge());
        adapters.dispose();
      }));

    test.each(ADAPTERS)('%s is written with the keys and bytes that were read', async (name) => {
      const adapters = new ModelAdapters(model);
      await loadAdapter(adapters, goldenAdapter(family, name), { name });
      const output = memoryOutput();
      await saveAdapter(adapters, name, output, { baseModel: 'somewhere' });
      const read = (file: string) =>
        readFileSync(fixture(`fixtures/peft/${family}/${name}/${file}`));
      const weights = output.files.get('adapter_model.safetensors')!;
      expect(Buffer.from(weights).equals(read('adapter_model.safetensors'))).toBe(true);
      const config = JSON.parse(Buffer.from(output.files.get('adapter_config.json')!).toString());
      expect(JSON.parse(read('adapter_config.json').toString())).toMatchObject({
        ...config,
        base_model_name_or_path: expect.any(String),
        auto_mapping: expect.toSatisfy(() => true),
        task_type: expect.toSatisfy(() => true),
      });
      // A second reader, and a second writer.
      await loadAdapter(adapters, memoryStore(output.files), { name: 'again' });
      const again = memoryOutput();
      await saveAdapter(adapters, 'again', again);
      expect(again.files.get('adapter_model.safetensors')).toEqual(weights);
      adapters.dispose();
    });

    test('the engine holds no tensor of an adapter that is gone', async () => {
      const before = tf.memory().numTensors;
      const adapters = new ModelAdapters(model);
      await loadAdapter(adapters, goldenAdapter(family, 'lora'));
      expect(tf.memory().numTensors).toBe(before + adapters.parameters('default').length);
      adapters.dispose();
      expect(tf.memory().numTensors).toBe(before);
    });
  });
}
