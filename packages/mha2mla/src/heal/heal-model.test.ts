/** Whole runs on the small LLaVA and its pictures, converted to latents of 24 dims a token. */
import { memorySource, memoryStore, openSafetensors } from '@mha2mla/checkpoint';
import { expectNoLeak, fixture } from '@mha2mla/testing';
import { llava, openVlm, type Processor, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { convertModel } from '../convert/convert-model';
import { calibrationBatches } from '../data/calibration-samples';
import type { Question } from '../data/question';
import { loadQuestions } from '../node/load-data';
import { openModelFolder } from '../node/open-model';
import { memoryOutput } from '../output/result-output';
import { HealingDiverged } from './divergence';
import { type HealRun, healModel } from './heal-model';
import { planHealing } from './heal-options';
import { type HealState, readState, writeState } from './heal-state';
import { tinyHealing } from './tiny-healing';

let student: VisionLanguageModel;
let teacher: VisionLanguageModel;
let processor: Processor;
let questions: Question[];
/** A run that nothing stopped. */
let whole: Awaited<ReturnType<typeof healModel>>;

// Adapters train on wasm in seconds, on cpu in minutes; its parts are held to their laws on both.
beforeAll(async () => {
  await tf.setBackend('wasm');
  await tf.ready();
  const { source, close } = await openModelFolder(fixture('models/llava'));
  processor = await llava.loadProcessor(source.config, source.store);
  const samples = await loadQuestions(fixture('models/scenes/calibration.jsonl'), 8);
  const output = memoryOutput();
  await convertModel(source, output, {
    calibration: await calibrationBatches(processor, samples),
    ropeDim: 4,
    rank: 4,
  });
  const converted = await openVlm(memoryStore(output.files), { families: [llava] });
  student = await VisionLanguageModel.load(converted);
  teacher = await VisionLanguageModel.load(source);
  questions = await loadQuestions(fixture('models/scenes/heal.jsonl'), 40);
  await close();
  whole = await heal();
});
afterAll(() => {
  student.dispose();
  teacher.dispose();
});

type Changes = Partial<Omit<HealRun, 'plan'>> & { plan?: Parameters<typeof planHealing>[0] };

/** Four updates of two questions, unless told otherwise. */
function heal({ plan, ...changes }: Changes = {}): ReturnType<typeof healModel> {
  return healModel({
    student,
    teacher: teacher.decoder,
    processor,
    questions,
    ...changes,
    plan: planHealing({ steps: 4, batchSize: 2, r: 4, ...plan }),
  });
}

/** Stop a run after some updates. @returns its state, through a file. */
async function stopAfter(updates: number, changes: Changes = {}): Promise<HealState> {
  const abort = new AbortController();
  if (updates === 0) abort.abort(new Error('stopped'));
  const output = memoryOutput();
  const run = heal({
    ...changes,
    signal: abort.signal,
    save: (state) => output.write('state', (sink) => writeState(sink, state)),
    onProgress: ({ loaded }) => loaded === updates && abort.abort(new Error('stopped')),
  });
  await expect(run).rejects.toThrow('stopped');
  return readState(await openSafetensors(memorySource(output.files.get('state')!)));
}

/** A question without a picture. */
const inWords: Question = {
  messages: [{ role: 'user', content: 'is there a camera?' }],
  answers: ['no'],
  loadMedia: async () => ({ images: [] }),
};

describe('a healing run', () => {
  test('lowers the loss, and reports it', async () => {
    const seen: unknown[] = [];
    const { report, merged } = await heal({
      questions: questions.slice(0, 4),
      plan: { steps: 10, batchSize: 4, r: 8 },
      onProgress: (progress) => seen.push(progress),
    });
    const { losses, loss, steps } = report;
    expect(losses).toHaveLength(10);
    expect(loss).toEqual({ first: losses[0], last: losses[9] });
    // The same four questions in each update.
    expect(loss.last).toBeLessThan(0.7 * loss.first);
    expect(steps).toBe(10);
    // q, k_r, o, and down, up_k, up_v of two modalities, in four layers.
    expect(merged.size).toBe(4 * 9);
    expect(merged.get('layers.3.self_attn.kv_proj_img.up_v.weight')).toHaveLength(192 * 24);
    const maps = 2 * 192 ** 2 + 192 * 24 + 2 * (192 * 24 + 24 * (168 + 192));
    const adapters = 8 * (4 * 192 + 216 + 2 * (216 + 192 + 216));
    expect(report.trainableShare).toBeCloseTo(adapters / (adapters + maps + 3 * 192 * 384), 12);
    expect(seen[2]).toEqual({ phase: 'heal', loaded: 3, total: 10 });
    expect(seen).toHaveLength(10);
  });

  test('gives the same bits under one seed, and others under another', async () => {
    expect(await heal()).toEqual(whole);
    const other = await heal({ plan: { seed: 1, steps: 2 } });
    expect(other.report.losses).not.toEqual(whole.report.losses.slice(0, 2));
  });

  test.each([0, 1, 3])('stopped after %d updates, goes on to the same bits', async (updates) => {
    const from = await stopAfter(updates);
    expect(from.losses).toEqual(whole.report.losses.slice(0, updates));
    expect(await heal({ from })).toEqual(whole);
  });

  test('saves every so often, and the last state has all updates', async () => {
    const states: HealState[] = [];
    const save = async (state: HealState) => void states.push(state);
    await heal({ save, saveEvery: 2 });
    expect(states.map(({ losses }) => losses.length)).toEqual([2, 4]);
    // Nothing is trained any more.
    expect(await heal({ from: states[1]! })).toEqual(whole);
  });

  test('trains on questions without pictures; maps of pictures rest, also when resumed', async () => {
    const changes: Changes = {
      questions: [inWords, questions[0]!, questions[20]!],
      plan: { steps: 5, batchSize: 1 },
    };
    const unbroken = await heal(changes);
    const from = await stopAfter(4, changes);
    const updatesOf = (map: string) => from.steps[`layers.0.self_attn.${map}.lora_A.weight`];
    expect(updatesOf('q_proj')).toBe(4);
    expect(updatesOf('kv_proj_text.up_v')).toBe(4);
    expect(updatesOf('kv_proj_img.up_v')).toBeLessThan(4);
    expect(await heal({ ...changes, from })).toEqual(unbroken);
  });
});

describe('pictures held out', () => {
  const held = { steps: 30, batchSize: 1, holdOut: 0.25 };

  test('are looked at, and the best weights come back', async () => {
    const { report, merged } = await heal({ plan: held });
    const { losses, best } = report.heldOut!;
    expect(losses).toHaveLength(2); // after 25 updates and at the end
    expect(best).toBe(losses[0]! <= losses[1]! ? 25 : 30);
    expect(merged.size).toBe(whole.merged.size);
  });

  test('a run that was stopped goes on to the same bits', async () => {
    const unbroken = await heal({ plan: held });
    const from = await stopAfter(27, { plan: held });
    expect(from.heldOut!.losses).toEqual(unbroken.report.heldOut!.losses.slice(0, 1));
    expect(await heal({ plan: held, from })).toEqual(unbroken);
  });
});

describe('a run that cannot go well', () => {
  test('stops when the loss is no number; the last saved state is whole', async () => {
    const states: HealState[] = [];
    const run = heal({
      plan: { learningRate: 1e6, steps: 20 },
      save: async (state) => void states.push(state),
      saveEvery: 1,
    });
    await expect(run).rejects.toThrow(RangeError);
    await expect(run).rejects.toThrow(
      /loss and gradients must stay finite, got a loss of .* at up/,
    );
    const { losses, tensors } = states.at(-1)!;
    expect(losses.every(Number.isFinite)).toBe(true);
    for (const [name, { values }] of tensors) {
      expect(values.every(Number.isFinite), name).toBe(true);
    }
  });

  test.each<[string, number, string, (value: number) => number, RegExp]>([
    ['a weight of NaN', 1, 'B', () => Number.NaN, /loss of NaN and .* norm of NaN at update 2/],
    // B is zero yet: the loss is that of the base, and the gradient of B of size 1e22.
    [
      'a huge A',
      0,
      'A',
      (value) => 1e24 * value,
      /loss of \d+\.\d+ and .* norm of Infinity at update 1/,
    ],
  ])('%s stops it before anything is saved', async (_, updates, part, poison, message) => {
    const state = await stopAfter(updates);
    const tensors = new Map(state.tensors);
    const name = `layers.2.self_attn.o_proj.lora_${part}.weight`;
    const { shape, values } = tensors.get(name)!;
    tensors.set(name, { shape, values: values.map(poison) });
    const save = async () => expect.unreachable('nothing may be saved');
    const run = heal({ from: { ...state, tensors }, save, saveEvery: 1 });
    await expect(run).rejects.toThrow(message);
  });

  test('stops when the loss runs away; what is kept is from before', async () => {
    const states: HealState[] = [];
    const planted = (stepsBefore: number, changes: Changes = {}) =>
      heal({
        runShard: async ({ step }, values) => ({
          loss: step < stepsBefore ? 1 : 9,
          grads: new Map([...values].map(([name, { length }]) => [name, new Float32Array(length)])),
        }),
        save: async (state) => void states.push(state),
        saveEvery: 5,
        ...changes,
        plan: { steps: 100, ...changes.plan },
      });
    const stopped: HealingDiverged = await planted(20).then(
      () => expect.unreachable('it must stop'),
      (error) => error,
    );
    expect(stopped).toBeInstanceOf(HealingDiverged);
    expect(stopped.message).toContain(
      'must not run away, got a mean of 9.00 over the last 10 of 47',
    );
    expect(stopped.losses).toHaveLength(47);
    expect(states.map(({ losses }) => losses.length)).toEqual([5, 10, 15, 20]);
    // From there it comes to the same end.
    await expect(planted(20, { from: states.at(-1)! })).rejects.toThrow(stopped.message);
    // Pictures held out have the say where there are any.
    const held = { steps: 50, holdOut: 0.25, batchSize: 8 };
    const { report } = await planted(0, { plan: held });
    expect(report.losses).toHaveLength(50);
  });

  test('is refused without questions, of another teacher, and from too long a state', async () => {
    await expect(heal({ questions: [] })).rejects.toThrow('questions must not be empty');
    const tiny = await tinyHealing();
    await expect(heal({ teacher: tiny.teacher.decoder })).rejects.toThrow(
      'student and teacher must have one numHiddenLayers, got 4 and 2',
    );
    tiny.dispose();
    const from = await stopAfter(3);
    await expect(heal({ from, plan: { steps: 2 } })).rejects.toThrow(
      'at most its 2 updates, got a state of 3',
    );
    await expect(heal({ from, plan: { r: 5 } })).rejects.toThrow(
      /q_proj.lora_A.weight must be \[5,192\], got \[4,192\]/,
    );
  });

  test('of latents that the model does not store is refused before it is trained', async () => {
    const split = await tinyHealing({}, { factor: 'split' });
    const run = (targetModules?: string[]) =>
      heal({
        student: split.student,
        teacher: split.teacher.decoder,
        source: split.converted,
        plan: { targetModules },
        signal: AbortSignal.abort(new Error('it was to be trained')),
      });
    await expect(run()).rejects.toThrow(
      /must be stored in the model, got 12 of 18 weights that are not: layers.0.self_attn.kv_proj/,
    );
    await expect(run(['q_proj', 'k_r_proj', 'o_proj'])).rejects.toThrow('it was to be trained');
    split.dispose();
  });
});

test('holds as many tensors after each update, and leaves none behind, whatever happens', async () => {
  const before = tf.memory().numTensors;
  const held: number[] = [];
  await heal({ onProgress: () => held.push(tf.memory().numTensors) });
  // A, B and two moments of each.
  expect(held).toEqual(new Array(4).fill(before + 4 * 9 * 2 * 3));
  const from = await stopAfter(1);
  await expectNoLeak(async () => {
    await heal({ from, plan: { steps: 2 } });
    await stopAfter(1);
    await expect(heal({ plan: { learningRate: 1e6 } })).rejects.toThrow('finite');
    await expect(heal({ from, plan: { r: 5 } })).rejects.toThrow('must be [5,192]');
    const lost = { ...questions[0]!, loadMedia: async () => Promise.reject(new Error('gone')) };
    await expect(heal({ questions: [lost] })).rejects.toThrow('gone');
  });
});
