/** A conversion by jobs gives the bytes of a conversion on one machine. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { convertModel } from '../convert/convert-model';
import type { ConvertOptions } from '../convert/convert-options';
import { inlineRunner } from '../convert/inline-runner';
import { openTinyLlava, tinyInputs } from '../convert/tiny-llava';
import { folderStore } from '../node/engine/folder-store';
import { modelDigest } from '../node/open-model';
import { memoryOutput } from '../output/result-output';
import { type Engine, inlineEngine } from './engine';
import type { Job, ModelRef } from './job';
import { JobError } from './job-error';
import type { SharedStore } from './job-store';
import { spreadConversion } from './spread-conversion';

const RUN = 'a'.repeat(64);
// Three shards of several samples.
const calibration = [tinyInputs(1, 2), tinyInputs(2, 3), tinyInputs(3, 2)];
let original: VlmSource;
let model: ModelRef;
let folder: string;
let store: SharedStore;

beforeAll(async () => {
  await tf.setBackend('wasm');
  await tf.ready();
  original = await openTinyLlava({ layers: 3, files: { 'README.md': new Uint8Array() } });
  model = { folder: 'model', digest: modelDigest(original), version: RUN };
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mha2mla-spread-'));
  store = folderStore(folder);
});
afterEach(() => rm(folder, { recursive: true }));

function engine(): Engine {
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
  'the converted layer passed on': { ropeDim: 4, rank: 4 },
  'the original layer passed on': { ropeDim: 4, rank: 4, propagate: 'original' },
  'partial RoPE passed on, by attention': { rank: 4, propagate: 'rope', init: 'attention' },
  'a measured budget': { kvBudget: 0.4, allocation: 'measured' },
  'scales fitted to samples': { rank: 4, cache: { kvBits: 4, kvMethod: 'static' } },
  'nothing that needs samples': { rank: 4, strategy: 'high', init: 'weights' },
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

/** An engine that fails at one job, and counts those that it did. */
function failingAt(fails: (job: Job) => boolean): Engine & { done: string[] } {
  const inner = engine();
  const done: string[] = [];
  return {
    done,
    async run(job, options) {
      if (fails(job)) throw new JobError('job-failed', 'as asked');
      const outputs = await inner.run(job, options);
      done.push(job.kind);
      return outputs;
    },
    close: () => inner.close(),
  };
}

test('a run whose job failed goes on from there, to the same bytes', async () => {
  const options = { ropeDim: 4, rank: 4 };
  const expected = memoryOutput();
  await convertModel(original, expected, { ...options, calibration });
  const output = memoryOutput();
  const spread = { ...options, calibration, store, run: RUN, model };
  const failing = failingAt((job) => job.kind === 'factor' && job.layer === 2);
  await expect(spreadConversion(original, output, { ...spread, engine: failing })).rejects.toThrow(
    'as asked',
  );
  await failing.close();
  const layers = () => [...output.files.keys()].filter((name) => name.startsWith('model-'));
  expect(layers()).toHaveLength(2);
  await spreadConversion(original, output, { ...spread, engine: engine() });
  for (const [name, bytes] of expected.files) {
    expect(Buffer.compare(output.files.get(name)!, bytes), name).toBe(0);
  }
});

test('what nobody needs any more is removed while the run goes on', async () => {
  const most = { contents: 0 };
  const inner = engine();
  const counting: Engine = {
    async run(job, options) {
      const outputs = await inner.run(job, options);
      const found = await readdir(join(folder, 'runs', RUN, 'contents'));
      most.contents = Math.max(most.contents, found.length);
      return outputs;
    },
    close: () => inner.close(),
  };
  const spread = { rank: 4, calibration, store, run: RUN, model };
  await spreadConversion(original, memoryOutput(), { ...spread, engine: counting });
  // Samples and plan stay; of a layer its shard and record, of each shard states of two layers and statistics.
  expect(most.contents).toBeLessThanOrEqual(4 + 3 * 2 + 3 * 3);
});

test('a search for bits is refused by name', async () => {
  const spread = { kvBudget: 0.3, spend: 'auto', calibration, store, run: RUN, model } as const;
  await expect(
    spreadConversion(original, memoryOutput(), { ...spread, engine: engine() }),
  ).rejects.toThrow(/bits must be known, got spend=auto/);
});
