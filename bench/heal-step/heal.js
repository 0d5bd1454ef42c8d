/**
 * The same optimiser steps as `heal` makes them: questions about one picture share its tokens in a row,
 * and two threads compute half of the pictures each. Prints the best time of a step and the first loss.
 */
import { join } from 'node:path';
import { loadDecoder } from '@mha2mla/mla-runtime';
import { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { healModel, planHealing } from 'mha2mla';
import { healPool, loadQuestions, openModelFolder, useBackend } from 'mha2mla/node';
import { DATA, MODELS, QUESTIONS } from './batch.js';

const [model, backend] = process.argv.slice(2);
process.env.TF_NUM_INTRAOP_THREADS = '1';
await useBackend(backend);
const folder = join(MODELS, model);
const { source } = await openModelFolder(folder);
const questions = await loadQuestions(DATA, QUESTIONS);
const plan = planHealing({
  ...{ steps: 8, batchSize: 8, learningRate: 1e-3, warmup: 0, decay: 0 },
  // The answers' loss alone, by LoRA alone, as the other arms have it.
  ...{ kd: 0, hidden: 0, mix: 0, biases: false },
});
const pool = healPool(2, {
  model: folder,
  teacher: folder,
  data: DATA,
  limit: QUESTIONS,
  plan,
  backend,
});
const times = [];
const { report } = await healModel({
  student: await VisionLanguageModel.load(source),
  teacher: await loadDecoder(source.config.decoder, source.weights),
  processor: await source.family.loadProcessor(source.config, source.store),
  ...{ questions, plan, runShard: pool.runShard },
  onProgress: () => times.push(performance.now()),
});
const steps = times.slice(1).map((time, i) => time - times[i]);
console.log(JSON.stringify({ milliseconds: Math.min(...steps), loss: report.losses[0] }));
process.exit();
