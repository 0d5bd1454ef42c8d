/**
 * Tokens a second of the small trained models: here, original and converted, and in PyTorch, by a loop
 * written out and by Hugging Face's `generate`; the same pictures and questions, as many tokens, by
 * turns. `node bench/decode/run.js [MODEL…] [--python PATH]`; see ../README.md.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeSafetensors } from '@mha2mla/checkpoint';
import { markdownTable } from 'markdown-table';
import { memoryOutput } from 'mha2mla';
import { openModelFolder } from 'mha2mla/node';
import { startAsked } from '../asked-process.js';
import { convertedOf } from './converted.js';
import { MODELS, promptsOf, QUESTIONS } from './prompts.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HERE = join(ROOT, 'bench/decode');
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    backends: { type: 'string', default: 'tensorflow,wasm' },
    tokens: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    clock: { type: 'string', default: 'wall' },
    python: { type: 'string' },
    table: { type: 'boolean', default: false },
    out: { type: 'string', default: join(ROOT, 'bench/results/decode.json') },
  },
});
const models = positionals.length > 0 ? positionals : ['llava', 'llava_next', 'qwen2_5_vl'];
const results = existsSync(flags.out) ? JSON.parse(readFileSync(flags.out, 'utf8')).results : {};
if (!flags.table) {
  if (!flags.python) {
    console.error('decode: PyTorch is left out without --python PATH, with transformers 4.51');
  }
  for (const model of models) {
    results[model] = await measure(model);
    save();
  }
}
console.log(tableOf(results, flags.clock));

async function measure(model) {
  const folder = mkdtempSync(join(tmpdir(), 'mha2mla-decode-'));
  const arms = new Map();
  try {
    const prompts = join(folder, 'prompts.safetensors');
    writeFileSync(prompts, await inputsOf(model));
    for (const [name, command, argv] of armsOf(model, prompts)) {
      arms.set(name, await startAsked(`${name} of ${model}`, command, argv, flags.threads));
    }
    return await ask(arms, model);
  } finally {
    for (const { child } of arms.values()) child.kill();
    rmSync(folder, { recursive: true });
  }
}

function armsOf(model, prompts) {
  const script = join(HERE, 'arm.js');
  const folders = { original: join(MODELS, model), converted: convertedOf(model) };
  const ours = flags.backends
    .split(',')
    .flatMap((backend) =>
      Object.entries(folders).map(([form, folder]) => [
        ...[`${form} ${backend}`, process.execPath],
        [script, folder, backend],
      ]),
    );
  const theirs = (flags.python ? ['loop', 'generate'] : []).map((arm) => [
    ...[`PyTorch ${arm}`, flags.python],
    [join(HERE, 'arm.py'), folders.original, prompts, arm, flags.threads],
  ]);
  return [...ours, ...theirs];
}

/** A first round is not counted. Of each question the best time, of all questions the sum. */
async function ask(arms, model) {
  const tokens = Number(flags.tokens);
  const found = {};
  for (let question = 0; question < QUESTIONS; question++) {
    for (let round = 0; round <= Number(flags.rounds); round++) {
      for (const [name, arm] of arms) {
        const answer = await arm.ask({ question, tokens });
        found[name] ??= { wall: [], cpu: [], said: [] };
        const own = found[name];
        own.said[question] = answer.tokens;
        if (round === 0) continue;
        for (const clock of ['wall', 'cpu']) {
          own[clock][question] = Math.min(own[clock][question] ?? Infinity, answer[clock]);
        }
      }
    }
  }
  return Object.fromEntries(
    Object.entries(found).map(([name, { wall, cpu, said }]) => {
      const rate = (list) => {
        const seconds = list.reduce((sum, one) => sum + one, 0) / 1000;
        return Number(((QUESTIONS * (tokens - 1)) / seconds).toFixed(1));
      };
      const alike = alikeShare(said, found[`original ${flags.backends.split(',')[0]}`].said);
      console.error(`${model} ${name}: ${rate(wall)} tokens/s, ${alike} of the original's tokens`);
      return [name, { wall: rate(wall), cpu: rate(cpu), alike }];
    }),
  );
}

/** Share of tokens up to the first that differs. */
function alikeShare(said, expected) {
  const counts = said.map((ids, i) => {
    const first = ids.findIndex((id, t) => id !== expected[i][t]);
    return first < 0 ? ids.length : first;
  });
  return Number((counts.reduce((a, b) => a + b) / (said.length * said[0].length)).toFixed(3));
}

/** The prompts as PyTorch reads them. */
async function inputsOf(model) {
  const { source, close } = await openModelFolder(join(MODELS, model));
  const prompts = await promptsOf(source);
  await close();
  const entries = prompts.flatMap((inputs, i) => {
    const { length, inputIds, attentionMask, pixelValues, imageSizes, imageGridThw } = inputs;
    const entry = (name, dtype, shape, values) =>
      values ? [{ name: `${i}.${name}`, dtype, shape, values }] : [];
    return [
      ...entry('input_ids', 'I32', [1, length], inputIds),
      ...entry('attention_mask', 'I32', [1, length], attentionMask),
      ...entry('pixel_values', 'F32', pixelValues.shape, pixelValues.data),
      ...entry('image_sizes', 'I32', [1, 2], imageSizes),
      ...entry('image_grid_thw', 'I32', [1, 3], imageGridThw),
    ];
  });
  const output = memoryOutput();
  await output.write('prompts', (sink) => writeSafetensors(sink, entries, (entry) => entry.values));
  return output.files.get('prompts');
}

function save() {
  const machine = { cpu: cpus()[0].model, cores: availableParallelism(), node: process.version };
  writeFileSync(flags.out, `${JSON.stringify({ machine, results }, null, 2)}\n`);
}

function tableOf(found, clock) {
  return markdownTable([
    ['model', 'arm', 'tokens/s', 'of the loop', 'of `generate`', "of the original's tokens"],
    ...Object.entries(found).flatMap(([model, arms]) =>
      Object.entries(arms).map(([name, own]) => {
        const beside = (other) => {
          const rate = arms[`PyTorch ${other}`]?.[clock];
          return rate ? (own[clock] / rate).toFixed(2) : '';
        };
        const rate = own[clock].toFixed(0);
        return [model, name, rate, beside('loop'), beside('generate'), own.alike.toFixed(2)];
      }),
    ),
  ]);
}
