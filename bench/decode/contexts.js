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
    pp: { type: 'string', default: '256' },
    tg: { type: 'string', default: '32' },
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
  const { pp, tg, depth, repetitions } = flags;
  const sizes = Object.entries({ pp, tg, depth, repetitions, backend });
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

function tableOf(found) {
  const rows = Object.entries(found).flatMap(([where, { tests }]) =>
    ['prefill', 'decode'].map((kind) => {
      const own = tests.filter((one) => one.kind === kind);
      const originals = own.filter(({ arm }) => arm === 'original');
      const cells = originals.map(({ depth, mean }) => {
        const converted = own.find((one) => one.depth === depth && one.arm === 'converted');
        return `${mean.toPrecision(3)}, ${(converted.mean / mean).toFixed(2)} x`;
      });
      return { depths: originals.map(({ depth }) => depth), row: [where, kind, ...cells] };
    }),
  );
  return markdownTable([
    ['model', 'test', ...(rows[0]?.depths ?? [])],
    ...rows.map(({ row }) => row),
  ]);
}
