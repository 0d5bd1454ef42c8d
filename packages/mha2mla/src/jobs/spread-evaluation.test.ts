/** An evaluation by jobs gives what one machine gives. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expectNoLeak, fixture } from '@mha2mla/testing';
import { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inlineRunner } from '../convert/inline-runner';
import type { Question } from '../data/question';
import { evaluate } from '../evaluate/evaluate';
import { folderStore } from '../node/engine/folder-store';
import { jobModels } from '../node/engine/job-models';
import { loadQuestions } from '../node/load-data';
import { modelDigest, openModelFolder } from '../node/open-model';
import { type Engine, inlineEngine } from './engine';
import type { JobStore } from './job-store';
import { spreadEvaluation } from './spread-evaluation';
import type { SpreadRun } from './spread-run';

const RUN = 'a'.repeat(64);
const OPTIONS = { batchSize: 4, maxTokens: 3, cache: { kvBits: 8 } } as const;
let folder: string;
let questions: Question[];
let spread: SpreadRun;

beforeAll(async () => {
  await tf.setBackend('wasm');
  await tf.ready();
  folder = await mkdtemp(join(tmpdir(), 'mha2mla-ask-'));
  questions = await loadQuestions(fixture('models/scenes/test.jsonl'), 10);
  const store = folderStore(folder, fixture('models'));
  const { source, close } = await openModelFolder(fixture('models/llava'));
  const model = { folder: 'llava', digest: modelDigest(source), version: RUN };
  await close();
  const runtime = { version: 'test', backend: 'wasm' };
  const runner = { store, runtime, factorize: inlineRunner, models: jobModels(store) };
  spread = { engine: inlineEngine(runner), store, run: RUN, model };
});
afterAll(async () => {
  await spread.engine.close();
  await rm(folder, { recursive: true });
});

test('the same answers and likelihoods, batch by batch, and nothing left', async () => {
  const seen: number[] = [];
  const found = await spreadEvaluation(questions, {
    ...{ ...OPTIONS, ...spread },
    onProgress: ({ loaded, total }) => seen.push(loaded, total),
  });
  expect(found).toEqual(await evaluateHere());
  expect(seen).toEqual([1, 3, 2, 3, 3, 3]);
  expect(await readdir(join(folder, 'runs'))).toEqual([]);
});

async function evaluateHere() {
  const { source, close } = await openModelFolder(fixture('models/llava'));
  const model = await VisionLanguageModel.load(source);
  const processor = await source.family.loadProcessor(source.config, source.store);
  try {
    return await evaluate(model, processor, questions, OPTIONS);
  } finally {
    model.dispose();
    await close();
  }
}

test('a model stays loaded from job to job, and no job leaks', async () => {
  await expectNoLeak(async () => {
    await spreadEvaluation(questions, { ...OPTIONS, ...spread });
  });
});

test('the first job that fails is told, and an aborted run is left at once', async () => {
  const failing: Engine = {
    run: async () => {
      throw new Error('no such machine');
    },
    close: async () => {},
  };
  await expect(
    spreadEvaluation(questions, { ...OPTIONS, ...spread, engine: failing }),
  ).rejects.toThrow('no such machine');
  const waiting: Engine = { ...failing, run: () => new Promise(() => {}) };
  const stop = new AbortController();
  const run = spreadEvaluation(questions, {
    ...{ ...OPTIONS, ...spread, engine: waiting, signal: stop.signal },
  });
  stop.abort(new Error('enough'));
  await expect(run).rejects.toThrow('enough');
});

test.each(['at once', 'while a batch is written'])(
  'no write outlives a run left %s',
  async (when) => {
    let [writing, written] = [0, 0];
    const stop = new AbortController();
    const slowly = {
      ...spread.store,
      ofRun: (run: string): JobStore => ({
        ...spread.store.ofRun(run),
        async put() {
          writing++;
          if (when !== 'at once' && written === 1) stop.abort(new Error('enough'));
          await setTimeout(20);
          writing--;
          written++;
          return { sha256: RUN, sizeBytes: 1 };
        },
      }),
    };
    const run = spreadEvaluation(questions, {
      ...{ ...OPTIONS, ...spread, store: slowly, signal: stop.signal },
    });
    if (when === 'at once') stop.abort(new Error('enough'));
    await expect(run).rejects.toThrow('enough');
    expect(writing).toBe(0);
    expect(written).toBe(when === 'at once' ? 1 : 2);
  },
);
