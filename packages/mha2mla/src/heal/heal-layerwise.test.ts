/** Whole layer-wise runs on the small LLaVA and its pictures. */
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
import { convertModel } from '../convert/convert-model';
import { calibrationBatches } from '../data/calibration-samples';
import type { Question } from '../data/question';
import { embedReferences } from '../evaluate/embed-references';
import { packReferences } from '../evaluate/pack-references';
import { scoreReferences } from '../evaluate/score-references';
import { loadQuestions } from '../node/load-data';
import { openModelFolder } from '../node/open-model';
import { memoryOutput } from '../output/result-output';
import { healLayerwise, type LayerwiseRun, layerNames } from './heal-layerwise';
import { planHealing } from './heal-options';
import { writeHealedLayer } from './healed-layer';
import type { MergedWeights } from './merge-adapters';
import { tinyHealing } from './tiny-healing';
import { writeHealed } from './write-healed';

const LAYERS = 4;
let original: VlmSource;
let close: () => Promise<void>;
let source: VlmSource;
let processor: Processor;
let questions: Question[];
let whole: Awaited<ReturnType<typeof healLayerwise>>;

beforeAll(async () => {
  await tf.setBackend('wasm');
  await tf.ready();
  ({ source: original, close } = await openModelFolder(fixture('models/llava')));
  processor = await llava.loadProcessor(original.config, original.store);
  const samples = await loadQuestions(fixture('models/scenes/calibration.jsonl'), 8);
  const output = memoryOutput();
  await convertModel(original, output, {
    calibration: await calibrationBatches(processor, samples),
    ropeDim: 4,
    rank: 4,
  });
  source = await openVlm(memoryStore(output.files), { families: [llava] });
  questions = await loadQuestions(fixture('models/scenes/heal.jsonl'), 30);
  whole = await heal();
});
afterAll(() => close());

function heal({ plan, ...changes }: Partial<Omit<LayerwiseRun, 'plan'>> & { plan?: object } = {}) {
  return healLayerwise({
    ...{ source, original, processor, questions, output: memoryOutput(), ...changes },
    plan: planHealing({ recipe: 'layerwise', steps: 8, batchSize: 2, r: 4, ...plan }),
  });
}

async function valuesOf(merged: MergedWeights): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const [name, value] of merged) {
    values.set(name, typeof value === 'function' ? await value() : value);
  }
  return values;
}

/** Likelihood of the answers of other questions. */
async function nllOf(of: VlmSource): Promise<number> {
  const others = (await loadQuestions(fixture('models/scenes/heal.jsonl'), 60)).slice(40);
  const model = await VisionLanguageModel.load(of);
  const rows = others.map((question) => [question]);
  const embedded = embedReferences(model, await packReferences(of, processor, rows));
  const scores = await scoreReferences(model.decoder, embedded);
  embedded.dispose();
  model.dispose();
  return scores.reduce((sum, { nll }) => sum + nll, 0);
}

test('each layer comes nearer to what the original gives, and answers too', async () => {
  const { report, merged } = whole;
  expect(report.losses).toHaveLength(8);
  expect(report.steps).toBe(8);
  expect(report.layers).toHaveLength(LAYERS);
  expect(report.loss.last).toBeLessThan(0.9 * report.loss.first);
  expect(merged.size).toBe(LAYERS * 9);
  expect(report.trainableShare).toBeGreaterThan(0);
  expect(report.trainableShare).toBeLessThan(0.1);
  const output = memoryOutput();
  await writeHealed(source, output, merged, { ...report, options: {} });
  const healed = await openVlm(memoryStore(output.files), { families: [llava] });
  expect(await nllOf(healed)).toBeLessThan(0.9 * (await nllOf(source)));
});

test('a run that was stopped goes on behind its finished layers, to the same bits', async () => {
  const output = memoryOutput();
  const abort = new AbortController();
  const seen: number[] = [];
  const onProgress = ({ loaded }: { loaded: number }) => {
    seen.push(loaded);
    if (loaded === 20) abort.abort(new Error('stopped')); // in the third layer
  };
  await expect(heal({ output, signal: abort.signal, onProgress })).rejects.toThrow('stopped');
  expect([...output.files.keys()]).toEqual(layerNames(source).slice(0, 2));
  const again = await heal({ output });
  expect(again.report).toEqual(whole.report);
  expect(await valuesOf(again.merged)).toEqual(await valuesOf(whole.merged));
});

test("on the teacher's inputs no layer depends on another, and its first layer is the same", async () => {
  const plan = { layerInputs: 'teacher' };
  const apart = await heal({ plan });
  const values = await valuesOf(apart.merged);
  const first = ([name]: [string, unknown]) => name.startsWith('layers.0.');
  const expected = [...(await valuesOf(whole.merged))];
  expect([...values].filter(first)).toEqual(expected.filter(first));
  expect([...values]).not.toEqual(expected);
  // Whatever the first layer came to, the others are the same.
  const output = memoryOutput();
  const zeros = [...values].filter(first).map(([name, { length }]) => {
    return [name, { shape: [length], values: new Float32Array(length) }] as const;
  });
  const lost = { losses: [], trained: 0, total: 0, weights: new Map(zeros) };
  await writeHealedLayer(output, layerNames(source)[0]!, lost);
  const { merged } = await heal({ plan, output });
  const others = [...(await valuesOf(merged))].filter((entry) => !first(entry));
  expect(others).toEqual([...values].filter((entry) => !first(entry)));
});

test('leaves no tensors behind, whole or stopped', async () => {
  await expectNoLeak(async () => {
    await heal({ plan: { steps: 1 } });
    await heal({ plan: { steps: 1, layerInputs: 'teacher' } });
    const abort = new AbortController();
    const onProgress = () => abort.abort(new Error('stopped'));
    await expect(heal({ signal: abort.signal, onProgress })).rejects.toThrow('stopped');
    await expect(heal({ plan: { learningRate: 1e30 } })).rejects.toThrow('must stay finite');
  });
});

test('other models and no questions are refused', async () => {
  await expect(heal({ questions: [] })).rejects.toThrow('questions must not be empty');
  const tiny = await tinyHealing();
  await expect(heal({ original: tiny.original })).rejects.toThrow(
    'student and teacher must have one numHiddenLayers, got 4 and 2',
  );
  tiny.dispose();
});
