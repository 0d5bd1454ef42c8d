/** A layer-wise healing by jobs gives the bytes of one on one machine. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memoryStore } from '@mha2mla/checkpoint';
import { expectNoLeak, fixture } from '@mha2mla/testing';
import { llava, openVlm, type VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { convertModel } from '../convert/convert-model';
import { inlineRunner } from '../convert/inline-runner';
import { healLayerwise } from '../heal/heal-layerwise';
import { type HealOptions, planHealing } from '../heal/heal-options';
import { folderStore } from '../node/engine/folder-store';
import { loadQuestions } from '../node/load-data';
import { modelDigest, openModelFolder } from '../node/open-model';
import { memoryOutput } from '../output/result-output';
import { type Engine, inlineEngine } from './engine';
import type { Job, ModelRef } from './job';
import type { SharedStore } from './job-store';
import { parseJob } from './parse-job';
import { type SpreadHealed, type SpreadHealing, spreadHealing } from './spread-healing';

const RUN = 'a'.repeat(64);
const BATCHES = 4;
let models: Record<string, VlmSource>;
let close: () => Promise<void>;
let healing: Omit<SpreadHealed, 'plan' | 'output'>;
let folder: string;
let store: SharedStore;

beforeAll(async () => {
  await tf.setBackend('wasm');
  await tf.ready();
  const opened = await openModelFolder(fixture('models/llava'));
  const original = opened.source;
  close = opened.close;
  const output = memoryOutput();
  const weights = { strategy: 'high', init: 'weights' } as const;
  await convertModel(original, output, { ...weights, ropeDim: 4, rank: 4 });
  const source = await openVlm(memoryStore(output.files), { families: [llava] });
  const processor = await llava.loadProcessor(source.config, source.store);
  // Two batches of pictures, the second smaller, and as many mixed ones.
  const questions = await loadQuestions(fixture('models/scenes/heal.jsonl'), 15);
  healing = { source, original, processor, questions };
  models = { student: source, teacher: original };
  folder = await mkdtemp(join(tmpdir(), 'mha2mla-heal-jobs-'));
  store = folderStore(folder);
});
afterAll(async () => {
  await close();
  await rm(folder, { recursive: true });
});

function planOf(layerInputs: HealOptions['layerInputs']) {
  return planHealing({ recipe: 'layerwise', layerInputs, steps: 2, batchSize: 2, r: 2 });
}

function refOf(name: string): ModelRef {
  return { folder: name, digest: modelDigest(models[name]!), version: RUN };
}

/** @param before waits until a job may be done. */
function spreadOver(
  before: (job: Job) => Promise<void> | undefined = () => undefined,
): SpreadHealing {
  const inner = inlineEngine({
    ...{ store, runtime: { version: 'test', backend: 'wasm' }, factorize: inlineRunner },
    models: {
      open: async ({ folder: name }) => models[name]!,
      async load(): Promise<never> {
        throw new Error('a layer-wise healing loads no model whole');
      },
    },
  });
  const engine: Engine = {
    ...inner,
    async run(job) {
      const sent = parseJob(JSON.parse(JSON.stringify(job)));
      await before(sent);
      return inner.run(sent);
    },
  };
  return { engine, store, run: RUN, model: refOf('student'), teacher: refOf('teacher') };
}

test.for(['student', 'teacher'] as const)(
  'the same bytes on inputs of the %s, and states that no job reads any more are gone',
  async (whose) => {
    const plan = planOf(whose);
    const expected = memoryOutput();
    const { report } = await healLayerwise({ ...healing, plan, output: expected });
    const output = memoryOutput();
    const progress: { loaded: number; total: number }[] = [];
    const sides = whose === 'student' ? 2 : 1;
    const spread = spreadOver(async (job) => {
      if (job.kind !== 'heal' || job.layer !== 3) return;
      // The last layer's states, places (mixed pictures change none), three healed layers, the plan.
      const contents = async () => (await readdir(join(folder, 'runs', RUN, 'contents'))).length;
      await expect.poll(contents, { timeout: 30_000 }).toBe(sides * BATCHES + BATCHES / 2 + 3 + 1);
    });
    const healed = await spreadHealing(
      { ...healing, plan, output },
      { ...spread, onProgress: (seen) => progress.push({ ...seen }) },
    );
    expect(healed.report).toEqual(report);
    expect([...output.files.keys()].sort()).toEqual([...expected.files.keys()].sort());
    for (const [name, bytes] of expected.files) {
      expect(Buffer.compare(output.files.get(name)!, bytes), name).toBe(0);
    }
    expect(progress.at(-1)!.loaded).toBe(progress.at(-1)!.total);
    expect(await readdir(join(folder, 'runs'))).toEqual([]);
  },
);

test("on the teacher's inputs no layer waits for another to be healed", async () => {
  const ended = new Set<number>();
  let release = () => {};
  const others = new Promise<void>((resolve) => {
    release = resolve;
  });
  const spread = spreadOver((job) => {
    if (job.kind !== 'heal') return undefined;
    if (job.layer === 0) return others;
    if (ended.add(job.layer).size === 3) release();
    return undefined;
  });
  await spreadHealing({ ...healing, plan: planOf('teacher'), output: memoryOutput() }, spread);
  expect([...ended].sort()).toEqual([1, 2, 3]);
});

test('a stopped run goes on behind what is done, and leaks nothing', async () => {
  const plan = planOf('student');
  await expectNoLeak(async () => {
    const output = memoryOutput();
    const kinds: string[] = [];
    const stopped = spreadOver((job) => {
      if (job.kind === 'heal' && job.layer === 2) throw new Error('no such machine');
      return undefined;
    });
    await expect(spreadHealing({ ...healing, plan, output }, stopped)).rejects.toThrow(
      'no such machine',
    );
    expect(output.files.size).toBe(2);
    const again = spreadOver((job) => void kinds.push(job.kind));
    // Even where the output is gone.
    await spreadHealing({ ...healing, plan, output: memoryOutput() }, again);
    expect(kinds.filter((kind) => kind === 'heal')).toHaveLength(4);
  });
  expect(await readdir(join(folder, 'runs'))).toEqual([]);
});
