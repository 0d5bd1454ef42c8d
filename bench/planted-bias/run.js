/**
 * What a quantized cache loses where keys have a bias far larger than themselves: the original's
 * keys beside the latents of what was converted from it, with the biased pairs un-rotated (as MKL
 * chooses) or kept. `node bench/planted-bias/run.js [questions] [--methods]`, with the latter by the
 * methods that the others leave out.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { memoryStore } from '@mha2mla/checkpoint';
import { openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { markdownTable } from 'markdown-table';
import {
  calibrationBatches,
  convertModel,
  embedReferences,
  evaluate,
  memoryOutput,
  packReferences,
} from 'mha2mla';
import { FAMILIES, loadQuestions, openModelFolder, useBackend } from 'mha2mla/node';
import { plantBias } from './plant-bias.js';

const MODELS = fileURLToPath(new URL('../../models', import.meta.url));
const PLANTED = { norm: 900, pairs: 2 };
const LATENT = { rank: 24, dtype: 'F32' };
const CACHES = [{}, { kvBits: 16 }, { kvBits: 8 }, { kvBits: 4 }];
const LATENT_CACHES = [...CACHES, { kvBits: 4, ropeBits: 4 }];
const METHODS = ['hqq', 'kivi', 'lloyd-max'].flatMap((kvMethod) => [
  { kvBits: 4, kvMethod },
  { kvBits: 2, kvMethod },
]);

const { values, positionals } = parseArgs({
  options: { methods: { type: 'boolean' } },
  allowPositionals: true,
});
const limit = Number(positionals[0] ?? 600);
const caches = values.methods ? METHODS : CACHES;
const latentCaches = values.methods ? METHODS : LATENT_CACHES;
const name = values.methods ? 'planted-bias-methods' : 'planted-bias';
const result = fileURLToPath(new URL(`../results/${name}.json`, import.meta.url));
const backend = await useBackend('auto');
const questions = await loadQuestions(join(MODELS, 'scenes/test.jsonl'), limit);
const { source, close } = await openModelFolder(join(MODELS, 'qwen2_5_vl'));
const processor = await source.family.loadProcessor(source.config, source.store);
const planted = await plantBias(source, PLANTED);
const samples = await loadQuestions(join(MODELS, 'scenes/calibration.jsonl'), 64);
const calibration = await calibrationBatches(processor, samples);

const logitChange = largestDifference(await logitsOf(source), await logitsOf(planted));
console.log(`${backend}, ${limit} questions; the bias moves a logit by ${logitChange} at most`);
const rows = [];
for (const cache of caches) await ask('original', planted, cache);
const { report, model } = await convert({ strategy: 'mkl', ropeDim: 8 });
for (const cache of latentCaches) await ask('converted', model, cache);
const ranks = slowestAmongFirst(report);
const { model: kept } = await convert({ ranks, ropeDim: 12 });
for (const cache of latentCaches) await ask('converted, biased pairs kept', kept, cache);
await close();
await writeFile(
  result,
  `${JSON.stringify({ backend, questions: limit, logitChange, rows }, null, 2)}\n`,
);

console.log(tableOf(rows));

async function convert(options) {
  const output = memoryOutput();
  const report = await convertModel(planted, output, { ...LATENT, ...options, calibration });
  return { report, model: await openVlm(memoryStore(output.files), { families: FAMILIES }) };
}

async function ask(name, from, cache) {
  const model = await VisionLanguageModel.load(from);
  const { accuracy, nll } = await evaluate(model, processor, questions, { cache });
  model.dispose();
  rows.push({ name, cache, accuracy, nll });
  const figures = `${(100 * accuracy).toFixed(1)} %, ${nll.toFixed(4)} nats a token`;
  console.log(`${name}, ${JSON.stringify(cache)}: ${figures}`);
}

/** A row a model, a column a cache. */
function tableOf(all) {
  const named = (cache) => JSON.stringify(cache);
  const columns = [...new Set(all.map(({ cache }) => named(cache)))];
  const models = [...new Set(all.map(({ name: model }) => model))];
  return markdownTable([
    ['cache', ...columns],
    ...models.map((model) => {
      const cells = columns.map((column) => {
        const row = all.find((one) => one.name === model && named(one.cache) === column);
        return row ? `${(100 * row.accuracy).toFixed(1)} %<br>${row.nll.toFixed(4)}` : '';
      });
      return [model, ...cells];
    }),
  ]);
}

/** Logits of whole prompts with their answers, padding left out. */
async function logitsOf(from) {
  const model = await VisionLanguageModel.load(from);
  const rows = questions.slice(0, 16).map((question) => [question]);
  const asked = embedReferences(model, await packReferences(from, processor, rows));
  const hidden = await model.decoder.prefill(asked.inputsEmbeds, asked.step);
  const logits = model.decoder.logits(hidden);
  const values = await logits.data();
  const width = logits.shape[2];
  const { kinds } = asked.step.layout;
  hidden.dispose();
  logits.dispose();
  asked.dispose();
  model.dispose();
  return values.filter((_, i) => kinds[Math.floor(i / width)] !== 0);
}

function largestDifference(a, b) {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}

/** The ranks that MKL gave, the slowest pairs put behind the first two of each head. */
function slowestAmongFirst({ layers }) {
  const ranks = layers.flatMap(({ pairScores }) =>
    pairScores.flatMap((scores) => {
      const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
      const slow = [...scores.keys()].slice(-PLANTED.pairs);
      const others = order.filter((pair) => !slow.includes(pair));
      const all = [...others.slice(0, 2), ...slow, ...others.slice(2)];
      const rank = [...scores.keys()].map((pair) => all.indexOf(pair));
      return [...rank, ...rank];
    }),
  );
  return Uint8Array.from(ranks);
}
