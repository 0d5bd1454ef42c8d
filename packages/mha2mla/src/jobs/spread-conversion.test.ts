/** A conversion by jobs gives the bytes of a conversion on one machine. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import { llava, type ModelInputs, type VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { convertModel } from '../convert/convert-model';
import type { ConvertOptions } from '../convert/convert-options';
import { inlineRunner } from '../convert/inline-runner';
import { calibrationBatches } from '../data/calibration-samples';
import { folderStore } from '../node/engine/folder-store';
import { loadQuestions } from '../node/load-data';
import { modelDigest, openModelFolder } from '../node/open-model';
import { memoryOutput } from '../output/result-output';
import { inlineEngine } from './engine';
import type { ModelRef } from './job';
import type { SharedStore } from './job-store';
import { spreadConversion } from './spread-conversion';

const RUN = 'a'.repeat(64);
let original: VlmSource;
let close: () => Promise<void>;
let calibration: ModelInputs[];
let model: ModelRef;
let folder: string;
let store: SharedStore;

beforeAll(async () => {
  await tf.setBackend('wasm');
  await tf.ready();
  ({ source: original, close } = await openModelFolder(fixture('models/llava')));
  const processor = await llava.loadProcessor(original.config, original.store);
  // Two shards, the second smaller.
  const questions = await loadQuestions(fixture('models/scenes/calibration.jsonl'), 18);
  calibration = await calibrationBatches(processor, questions);
  model = { folder: 'model', digest: modelDigest(original), version: RUN };
});
afterAll(() => close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mha2mla-spread-'));
  store = folderStore(folder);
});
afterEach(() => rm(folder, { recursive: true }));

function engine() {
  const runtime = { version: 'test', backend: 'wasm' };
  const models = {
    open: async () => original,
    async load(): Promise<never> {
      throw new Error('a conversion loads no model whole');
    },
  };
  return inlineEngine({ store, runtime, factorize: inlineRunner, models });
}

const CASES: Record<string, ConvertOptions> = {
  'the converted layer passed on': { ropeDim: 4, rank: 8 },
  'the original layer passed on': { ropeDim: 4, rank: 8, propagate: 'original' },
  'partial RoPE passed on, by attention': { rank: 8, propagate: 'rope', init: 'attention' },
  'a measured budget': { kvBudget: 0.1, allocation: 'measured' },
  'scales fitted to samples': { rank: 8, cache: { kvBits: 4, kvMethod: 'static' } },
  'nothing that needs samples': { rank: 8, strategy: 'high', init: 'weights' },
};

test.for(Object.entries(CASES))('the same bytes with %s', async ([, options]) => {
  const expected = memoryOutput();
  const report = await convertModel(original, expected, { ...options, calibration });
  const output = memoryOutput();
  const progress: { loaded: number; total: number }[] = [];
  const spread = await spreadConversion(original, output, {
    ...{ ...options, calibration, engine: engine(), store, run: RUN, model },
    onProgress: (seen) => progress.push({ ...seen }),
  });
  expect(spread).toEqual(report);
  expect([...output.files.keys()].sort()).toEqual([...expected.files.keys()].sort());
  for (const [name, bytes] of expected.files) {
    expect(Buffer.compare(output.files.get(name)!, bytes), name).toBe(0);
  }
  expect(progress.at(-1)!.loaded).toBe(progress.at(-1)!.total);
  expect(await readdir(join(folder, 'runs'))).toEqual([]);
});
