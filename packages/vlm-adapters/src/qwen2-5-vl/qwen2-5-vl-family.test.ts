import { type FileStore, parseModelConfig } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { describeBackends, expectClose, expectNoLeak } from '@mha2mla/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tensorDifference } from '../expected-tensors';
import { openVlm } from '../open-vlm';
import { prepareInputs } from '../prepare-inputs';
import { logitsOf } from '../testing/logits-of';
import { type StoredTensor, tensorStore } from '../testing/tensor-store';
import { VisionLanguageModel } from '../vision-language-model';
import { createQwen25Vl, qwen25Vl } from './qwen2-5-vl-family';
import {
  CHECKPOINT,
  newerFolder,
  qwenGolden,
  qwenTensors,
  readQwenJson,
} from './testing/qwen-golden';

const VERSIONS = ['4.57.6', '5.23.0'];
const raw = readQwenJson('checkpoint/config.json');

async function load(store: FileStore): Promise<VisionLanguageModel> {
  return VisionLanguageModel.load(await openVlm(store, { families: [qwen25Vl] }));
}

async function loadPublished(): Promise<VisionLanguageModel> {
  const store = await nodeStore(CHECKPOINT);
  const model = await load(store);
  await store.close?.();
  return model;
}

describe.each(VERSIONS)('a folder in the names of transformers %s', (version) => {
  test('has every weight, and none of no use', async () => {
    const source = await openVlm(await newerFolder(version), { families: [qwen25Vl] });
    expect(tensorDifference(source)).toEqual({ missing: [], unexpected: [] });
  });
});

describeBackends('Qwen2.5-VL', () => {
  let model: VisionLanguageModel;
  beforeAll(async () => {
    model = await loadPublished();
  });
  afterAll(() => model.dispose());

  test.each(['p0', 'p1', 'p2', 'p3', 'p4'])('%s: logits, from the pixels on', async (name) => {
    const { tensors, inputs } = qwenGolden(name);
    // Float32 sums in another order; the logits have a deviation of 2.6.
    expectClose(await logitsOf(model, inputs), tensors.get('logits')!.data, { abs: 1e-4 });
  });

  test.each(['batch_p0_p1', 'batch_p0_p4'])('%s generates the greedy tokens', (name) =>
    expectNoLeak(async () => {
      const { tensors, inputs } = qwenGolden(name);
      const found: number[][] = [[], []];
      for await (const { tokens } of model.generate(inputs, { maxTokens: 16, eosTokenIds: [] })) {
        for (const [row, token] of tokens.entries()) found[row]!.push(token);
      }
      expect(found.flat()).toEqual([...tensors.get('generated_ids')!.data]);
    }),
  );

  test.each(VERSIONS)('a folder of transformers %s gives the same to the bit', async (version) => {
    const newer = await load(await newerFolder(version));
    const { inputs } = qwenGolden('p3');
    expect(await logitsOf(newer, inputs)).toEqual(await logitsOf(model, inputs));
    newer.dispose();
  });

  test('tied embeddings, as the published 3B has them, are the head', async () => {
    const tensors = qwenTensors();
    const head = tensors.get('model.embed_tokens.weight')!;
    const { inputs } = qwenGolden('p4');
    const logits = async (config: object, stored: Map<string, StoredTensor>) => {
      const own = await load(await tensorStore(config, stored));
      const values = await logitsOf(own, inputs);
      own.dispose();
      return values;
    };
    tensors.set('lm_head.weight', head);
    const untied = await logits(raw, tensors);
    tensors.delete('lm_head.weight');
    expect(await logits({ ...raw, tie_word_embeddings: true }, tensors)).toEqual(untied);
  });
});

test('the factory changes the positions of videos alone', () => {
  const { inputs } = qwenGolden('p3');
  const timesOf = (family: typeof qwen25Vl) => {
    const config = family.parseConfig(parseModelConfig(raw));
    const { positionIds } = prepareInputs(family, config, inputs);
    const places = [...inputs.inputIds.keys()].filter((i) => inputs.inputIds[i] === 399);
    const start = positionIds[places[0]!]!;
    return [...new Set(places.map((place) => positionIds[place]! - start))];
  };
  expect(timesOf(qwen25Vl)).toEqual([0, 1, 2]);
  expect(timesOf(createQwen25Vl({ videoPositions: 'transformers-4.57' }))).toEqual([0]);
  expect(timesOf(createQwen25Vl({ videoPositions: 'transformers-5' }))).toEqual([0, 1, 2]);
});
