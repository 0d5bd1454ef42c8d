/**
 * Small models over long contexts, converted beside original: `node bench/decode/contexts.js [MODEL…]`
 * runs `mha2mla bench` for each model and backend; see ../README.md.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { markdownTable } from 'markdown-table';
import { drawAgainstBytes } from 'mha2mla/node';
import { COMMAND, convertedOf } from './converted.js';
import { MODELS } from './prompts.js';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    backends: { type: 'string', default: 'tensorflow,wasm' },
    depth: { type: 'string', default: '0,1024,4096,16384,32768' },
    repetitions: { type: 'string', default: '3' },
    table: { type: 'boolean', default: false },
    out: {
      type: 'string',
      default: fileURLToPath(new URL('../results/contexts.json', import.meta.url)),
    },
  },
});
const models = positionals.length > 0 ? positionals : ['llava', 'llava_next', 'qwen2_5_vl'];
const results = existsSync(flags.out) ? JSON.parse(readFileSync(flags.out, 'utf8')).results : {};
if (!flags.table) {
  for (const model of models) {
    for (const backend of flags.backends.split(',')) {
      results[`${model} ${backend}`] = await measure(model, backend);
      const machine = {
        cpu: cpus()[0].model,
        cores: availableParallelism(),
        node: process.version,
      };
      writeFileSync(flags.out, `${JSON.stringify({ machine, results }, null, 1)}\n`);
    }
  }
}
console.log(tableOf(results));

/** What `bench` finds, speed of decoding drawn beside the results. */
async function measure(model, backend) {
  const { depth, repetitions } = flags;
  const sizes = Object.entries({ pp: '256', tg: '32', depth, repetitions, backend });
  const found = execFileSync(
    process.execPath,
    [
      ...[COMMAND, 'bench', convertedOf(model), '--original', join(MODELS, model), '--json'],
      ...sizes.flatMap(([name, value]) => [`--${name}`, value]),
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 26 },
  );
  const { plots, results: tests, cacheBytesPerToken } = JSON.parse(found);
  const { series, ...options } = plots.find(({ title }) => title.startsWith('Decod'));
  const id = `contexts-${model}-${backend}`;
  const svg = await drawAgainstBytes(series, { ...options, id });
  writeFileSync(join(flags.out, `../${id}.svg`), svg);
  return { cacheBytesPerToken, tests };
}

/** A cell has a figure for each depth. */
function tableOf(found) {
  const rows = Object.entries(found).map(([where, { tests }]) => {
    const cells = ['prefill', 'decode'].flatMap((kind) => {
      const [original, converted] = ['original', 'converted'].map((arm) =>
        tests.filter((one) => one.kind === kind && one.arm === arm).map(({ mean }) => mean),
      );
      const shares = converted.map((mean, i) => (mean / original[i]).toFixed(2));
      return [original.map((mean) => mean.toFixed(0)).join(' / '), shares.join(' / ')];
    });
    return [...where.split(' '), ...cells];
  });
  const speeds = ["prefill, original's tokens/s", "decode, original's tokens/s"];
  const head = speeds.flatMap((speed) => [speed, 'converted']);
  return markdownTable([['model', 'backend', ...head], ...rows]);
}
