/**
 * What `--spend auto` picks, and what it could have picked: `node bench/choice/choice.js [budget]…`.
 * Each budget is spent by the search, on rank alone at 16 bits, and on every pair of bits; all are
 * asked the same questions over their caches. `--only-search` leaves the pairs out.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { memoryStore } from '@mha2mla/checkpoint';
import { openVlm } from '@mha2mla/vlm-adapters';
import { askOverCache, calibrationBatches, convertModel, memoryOutput } from 'mha2mla';
import { FAMILIES, loadQuestions, useBackend } from 'mha2mla/node';
import { MeasuredModel } from '../ablation/measured-model.js';
import { MODELS } from '../ablation/questions.js';

const RESULT = fileURLToPath(new URL('../results/choice.json', import.meta.url));
const SAMPLES = 64;
const PICTURES = 30;

const { values, positionals } = parseArgs({
  options: { model: { type: 'string', default: 'llava' }, 'only-search': { type: 'boolean' } },
  allowPositionals: true,
});
const budgets = positionals.length > 0 ? positionals.map(Number) : [0.25, 0.125, 0.0625, 0.05];
await useBackend('auto');
const measured = await MeasuredModel.load(values.model, PICTURES);
const { source, processor } = measured;
const samples = await loadQuestions(join(MODELS, 'scenes/calibration.jsonl'), SAMPLES);
const calibration = await calibrationBatches(processor, samples);
const ask = (candidate) => askOverCache(candidate, samples);

for (const kvBudget of budgets) {
  const search = await row(kvBudget, 'search', { kvBudget, spend: 'auto', ask });
  await row(kvBudget, 'rank at 16 bits', { kvBudget, cache: { kvBits: 16 } });
  if (values['only-search']) continue;
  const { ropeDim } = search.options;
  for (const kvBits of [16, 8, 4, 3, 2]) {
    for (const ropeBits of [16, 8, 4]) {
      const options = { kvBudget, ropeDim, allocation: search.options.allocation };
      await row(kvBudget, `${kvBits} + ${ropeBits}`, { ...options, cache: { kvBits, ropeBits } });
    }
  }
}
await measured.dispose();

/** Convert, ask, and keep what was found at once. */
async function row(kvBudget, name, options) {
  const output = memoryOutput();
  const started = process.cpuUsage();
  let report;
  try {
    report = await convertModel(source, output, { ...options, dtype: 'F32', calibration });
  } catch (error) {
    if (!/must leave a rank/.test(error.message)) throw error;
    return undefined;
  }
  const { user, system } = process.cpuUsage(started);
  const converted = await openVlm(memoryStore(output.files), { families: FAMILIES });
  const { accuracy, nll } = await measured.askOverCache(converted);
  const { ropeDim, rank, latentRanks, allocation, cache } = report.options;
  const found = {
    ...{ model: values.model, kvBudget, name, accuracy, nll },
    bytesPerToken: report.cacheBytesPerToken.converted,
    options: { ropeDim, rank, latentRanks, allocation, cache },
    spending: report.spending,
    cpuSeconds: (user + system) / 1e6,
  };
  const { candidates, chosen } = report.spending ?? {};
  const told = candidates ? ` ${JSON.stringify(candidates[chosen])}` : '';
  console.log(
    `${kvBudget} ${name}: ${(100 * accuracy).toFixed(1)} %, ${nll.toFixed(4)} nats a token, ${found.bytesPerToken} bytes${told}`,
  );
  await keep(found);
  return found;
}

async function keep(found) {
  const before = await readFile(RESULT, 'utf8').then(JSON.parse, () => []);
  const same = (one) => ['model', 'kvBudget', 'name'].every((key) => one[key] === found[key]);
  const rows = [...before.filter((one) => !same(one)), found];
  await writeFile(RESULT, `${JSON.stringify(rows, null, 1)}\n`);
}
