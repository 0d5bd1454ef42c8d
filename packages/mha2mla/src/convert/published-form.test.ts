/**
 * The published form of converted models, as the reference's Python writes it: what it has written
 * is loaded, and what is written for it has the same keys, shapes and config.
 */
import { memoryStore } from '@mha2mla/checkpoint';
import { describeBackends, expectClose, fixture, readSafetensors } from '@mha2mla/testing';
import { openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FAMILIES, type OpenModel, openModelFolder } from '../node/open-model';
import { memoryOutput } from '../output/result-output';
import { goldenInputs } from '../trace/testing/golden-inputs';
import { traceModel } from '../trace/trace-model';
import { convertModel } from './convert-model';

const FOLDER = 'fixtures/hf/qwen2_5_vl';
/** Its rank file, `ranks.pth`, lies beside the folder, where the reference keeps it. */
const PUBLISHED = fixture(`${FOLDER}/mha2mla/converted_checkpoint`);

describeBackends('a model that the reference has converted', () => {
  test('gives its logits, at once and over the latent cache', async () => {
    const { source, close } = await openModelFolder(PUBLISHED);
    const model = await VisionLanguageModel.load(source);
    await close();
    const outputs = readSafetensors(fixture(`${FOLDER}/mha2mla/outputs.safetensors`));
    const expected = outputs.get('mla_mdsvd_joint_rounded.p0.logits')!.data as Float32Array;
    for (const attention of ['naive', 'absorbed'] as const) {
      const trace = await traceModel(model, await goldenInputs('qwen2_5_vl', 'p0'), { attention });
      // Float32 on both sides; logits have a deviation of 2.6.
      expectClose(trace.get('logits')!.values, expected, { abs: 1e-4 });
    }
    model.dispose();
  });
});

describe('the published form', () => {
  let published: OpenModel;
  let original: OpenModel;
  beforeAll(async () => {
    published = await openModelFolder(PUBLISHED);
    original = await openModelFolder(fixture(`${FOLDER}/checkpoint`));
  });
  afterAll(async () => {
    await published.close();
    await original.close();
  });

  test('sends videos through the text branch', () => {
    const { videoTokenId, visionTokenIds } = original.source.config;
    expect(visionTokenIds).toContain(videoTokenId);
    expect(published.source.config.visionTokenIds).not.toContain(videoTokenId);
    expect(published.source.config.visionTokenIds).toHaveLength(visionTokenIds.length - 1);
  });

  test('is what layout reference writes: tensors, precisions and config', async () => {
    const output = memoryOutput();
    await convertModel(original.source, output, {
      strategy: 'high', // as many pairs as by a rank file
      ropeDim: 16,
      rank: 20,
      init: 'weights',
      layout: 'reference',
    });
    const written = await openVlm(memoryStore(output.files), { families: FAMILIES });
    const { checkpoint, config } = published.source;
    const described = (tensors: typeof checkpoint.tensors) =>
      [...tensors.values()].map(({ name, dtype, shape }) => `${name} ${dtype} [${shape}]`).sort();
    expect(described(written.checkpoint.tensors)).toEqual(described(checkpoint.tensors));
    const { mha2mla: block, ...rest } = written.config.source.raw as Record<string, object>;
    const { mha2mla: golden, ...goldenRest } = config.source.raw as Record<string, object>;
    expect(Object.keys(block!).sort()).toEqual(Object.keys(golden!).sort());
    expect(Object.keys(rest).sort()).toEqual(Object.keys(goldenRest).sort());
  });
});
