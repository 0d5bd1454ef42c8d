/** `inspect` on folders of the published models' real shapes, up to 147 GB, all holes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  LLAVA_1_5,
  LLAVA_NEXT_MODELS,
  type PublishedModel,
  QWEN2_5_VL,
} from '../../node/testing/published-models';
import { writeSparseModel } from '../../node/testing/write-sparse-model';
import { runInProcess } from '../testing/run-in-process';

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-sizes-'));
});
afterAll(() => rm(root, { recursive: true }));

/** Parameters, as their publishers count them, and what the cache depends on. */
const EXPECTED: Record<
  string,
  [parameters: number, layers: number, kvHeads: number, heads: number]
> = {
  'llava-1.5-7b-hf': [7_063_427_072, 32, 32, 32],
  'llava-1.5-13b-hf': [13_351_494_656, 40, 40, 40],
  'llava-v1.6-mistral-7b-hf': [7_566_747_648, 32, 8, 32],
  'llama3-llava-next-8b-hf': [8_355_276_800, 32, 8, 32],
  'Qwen2.5-VL-3B-Instruct': [3_754_622_976, 36, 2, 16],
  'Qwen2.5-VL-7B-Instruct': [8_292_166_656, 28, 4, 28],
  'Qwen2.5-VL-72B-Instruct': [73_410_777_344, 80, 8, 64],
};

const models = [...LLAVA_1_5, ...LLAVA_NEXT_MODELS, ...QWEN2_5_VL];

test.each<[string, PublishedModel]>(models.map((model) => [model.name, model]))(
  '%s: parameters and cache bytes, from headers alone, at once',
  async (name, model) => {
    const folder = join(root, name);
    const total = await writeSparseModel(folder, model);
    const started = performance.now();
    const { status, stdout, stderr } = await runInProcess(['inspect', folder, '--json']);
    // Some 50 ms; the rest is for a machine that is busy.
    expect(performance.now() - started).toBeLessThan(1000);
    expect([status, stderr]).toEqual([0, '']);
    const { parameters, missing, unexpected, cacheBytesPerToken } = JSON.parse(stdout);
    const [expected, layers, kvHeads, heads] = EXPECTED[name]!;
    expect([parameters, total]).toEqual([expected, 2 * expected]);
    expect({ missing, unexpected }).toEqual({ missing: [], unexpected: [] });
    // Keys and values, heads of 128, 2 bytes each.
    const bytes = (count: number) => 2 * layers * count * 128 * 2;
    expect(cacheBytesPerToken).toEqual({
      model: bytes(kvHeads),
      original: bytes(kvHeads),
      mhaEquivalent: bytes(heads),
    });
    await rm(folder, { recursive: true });
  },
);
