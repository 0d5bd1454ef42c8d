/** Whole runs on the small LLaVA and its pictures, from 8 latent dims a KV head to fewer. */
import { memoryStore } from '@mha2mla/checkpoint';
import { expectNoLeak, fixture } from '@mha2mla/testing';
import {
  llava,
  openVlm,
  type Processor,
  VisionLanguageModel,
  type VlmSource,
} from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ConvertRunOptions, convertModel } from '../convert/convert-model';
import type { Question } from '../data/question';
import { loadQuestions } from '../node/load-data';
import { openModelFolder } from '../node/open-model';
import { memoryOutput } from '../output/result-output';
import { healModel } from './heal-model';
import { planHealing } from './heal-options';
import { healProgressive, type ProgressiveRun, stageNames } from './heal-progressive';
import type { HealState } from './heal-state';
import type { MergedWeights } from './merge-adapters';
import { writeHealed } from './write-healed';

let original: VlmSource;
let close: () => Promise<void>;
let source: VlmSource;
let teacher: VisionLanguageModel;
let processor: Processor;
let questions: Question[];
let whole: Awaited<ReturnType<typeof heal>>;

const open = (files: Map<string, Uint8Array>) => openVlm(memoryStore(files), { families: [llava] });

async function convert(options: ConvertRunOptions): Promise<Map<string, Uint8Array>> {
  const output = memoryOutput();
  await convertModel(original, output, { strategy: 'high', init: 'weights', ...options });
  return output.files;
}

beforeAll(async () => {
  await tf.setBackend('wasm');
  await tf.ready();
  ({ source: original, close } = await openModelFolder(fixture('models/llava')));
  processor = await llava.loadProcessor(original.config, original.store);
  source = await open(await convert({ rank: 8 }));
  teacher = await VisionLanguageModel.load(original);
  questions = await loadQuestions(fixture('models/scenes/heal.jsonl'), 6);
  whole = await heal();
});
afterAll(async () => {
  teacher.dispose();
  await close();
});

type Changes = Partial<Omit<ProgressiveRun, 'plan'>> & { plan?: object };

/** Five updates of one picture, to 4 dims, unless told otherwise. @returns values, too. */
async function heal({ plan, ...changes }: Changes = {}) {
  const student = await VisionLanguageModel.load(changes.source ?? source);
  try {
    const healed = await healProgressive({
      ...{ student, source, teacher: teacher.decoder, processor, questions },
      output: memoryOutput(),
      ...changes,
      plan: planHealing({
        ...{ recipe: 'progressive', rank: 4, steps: 5, batchSize: 1, r: 2 },
        ...plan,
      }),
    });
    return { ...healed, values: await valuesOf(healed.merged) };
  } finally {
    student.dispose();
  }
}

async function valuesOf(merged: MergedWeights): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const [name, value] of merged) {
    values.set(name, typeof value === 'function' ? await value() : value);
  }
  return values;
}

test('at the rank of the model it is healing in one stage, to the bit', async () => {
  const { report, values } = await heal({ plan: { rank: 8, steps: 2 } });
  const student = await VisionLanguageModel.load(source);
  const plan = planHealing({ steps: 2, batchSize: 1, r: 2 });
  const run = { student, source, teacher: teacher.decoder, processor, questions, plan };
  const { report: own, merged } = await healModel(run);
  student.dispose();
  for (const [name, value] of merged) expect(values.get(name), name).toEqual(value);
  expect(values.size).toBe(merged.size);
  const { stages, ...rest } = report;
  expect(rest).toEqual(own);
  expect(stages).toEqual([{ rank: 8, steps: 2, ...own.loss }]);
});

test('goes down in stages, and writes what a conversion of the last rank would', async () => {
  const { report, merged, narrowed } = whole;
  expect(report.stages.map(({ rank, steps }) => [rank, steps])).toEqual([
    [8, 1],
    [6, 2],
    [4, 2],
  ]);
  expect([report.steps, report.losses.length]).toEqual([5, 5]);
  const output = memoryOutput();
  await writeHealed(source, output, merged, { ...report, options: {} }, { narrowed });
  const expected = await convert({ rank: 4 });
  const json = (files: Map<string, Uint8Array>, name: string) =>
    JSON.parse(new TextDecoder().decode(files.get(name)));
  for (const name of ['config.json', 'model.safetensors.index.json']) {
    expect(json(output.files, name), name).toEqual(json(expected, name));
  }
  const shapes = ({ checkpoint }: VlmSource) =>
    [...checkpoint.tensors.values()].map(({ name, dtype, shape }) => [name, dtype, shape]);
  const healed = await open(output.files);
  expect(shapes(healed)).toEqual(shapes(await open(expected)));
  expect(output.files.has('report.json')).toBe(false);
  (await VisionLanguageModel.load(healed)).dispose();
});

test('maps of latents that are not trained are narrowed all the same', async () => {
  const { values, narrowed } = await heal({
    plan: { targetModules: ['q_proj'], rank: 7, steps: 2 },
  });
  for (const [name, shape] of narrowed.shapes) {
    expect(values.get(name)?.length, name).toBe(shape.reduce((product, size) => product * size));
  }
  expect(values.has('layers.0.self_attn.o_proj.weight')).toBe(false);
});

test.each([1, 2, 4])('stopped after %d updates, goes on to the same bits', async (updates) => {
  const output = memoryOutput();
  const abort = new AbortController();
  const states = new Map<number, HealState>();
  const stopped = heal({
    output,
    signal: abort.signal,
    save: async (stage, state) => void states.set(stage, state),
    onProgress: ({ loaded }) => loaded === updates && abort.abort(new Error('stopped')),
  });
  await expect(stopped).rejects.toThrow('stopped');
  const finished = { 1: 1, 2: 1, 4: 2 }[updates];
  expect([...output.files.keys()]).toEqual(stageNames().slice(0, finished));
  const again = await heal({ output, from: async (stage) => states.get(stage) });
  expect(again.report).toEqual(whole.report);
  expect(again.values).toEqual(whole.values);
});

test('leaves no tensors behind, whole or stopped', async () => {
  await expectNoLeak(async () => {
    await heal({ plan: { targetModules: 'v4', steps: 3 } });
    const abort = new AbortController();
    const onProgress = () => abort.abort(new Error('stopped'));
    await expect(heal({ signal: abort.signal, onProgress })).rejects.toThrow('stopped');
  });
});

test('ranks, steps and models that do not fit are refused', async () => {
  await expect(heal({ plan: { rank: 9 } })).rejects.toThrow(
    "rank must be from 1 to the model's latent dims a KV head, 8, got 9. Convert",
  );
  await expect(heal({ plan: { steps: 2 } })).rejects.toThrow('at least one a stage, 3, got 2');
  const split = await open(await convert({ rank: 4, factor: 'split' }));
  await expect(heal({ source: split })).rejects.toThrow(
    'factor joint), got none stored as layers.0.self_attn.kv_proj_img.down_kv.weight. Convert it so.',
  );
  const files = await convert({ rank: 8 });
  files.set('report.json', new TextEncoder().encode('{"options":{"center":true}}'));
  await expect(heal({ source: await open(files) })).rejects.toThrow('must not be centred');
  const turned = await open(await convert({ rank: 8, hadamard: 4 }));
  await expect(heal({ source: turned })).rejects.toThrow(
    'by energy, got a model converted with had',
  );
  const none = await open(await convert({ factor: 'none' }));
  await expect(heal({ source: none })).rejects.toThrow('factor joint), got none. Convert it so.');
});
