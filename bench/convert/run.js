/**
 * What a whole conversion takes, on checkpoints of random weights: peak memory against depth, and
 * what `--dry-run` said of it before, in turn.
 * `node bench/convert/run.js [CASE…] [--repetitions N] [--data FOLDER]`; see ../README.md.
 */
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { measuredProcess } from '../measured-process.js';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = join(HERE, '../..');
const MAIN = join(ROOT, 'packages/mha2mla/bin/mha2mla.js');
const SMALL = ['--width', '512', '--heads', '8', '--kv-heads', '8', '--inner', '1024'];
/** Widths of the decoder, numbers of layers, options of `convert`. */
const CASES = {
  small: { shape: SMALL, layers: [4, 16], options: ['--rank', '16', '--samples', '32'] },
  // A latent for each head: what a model without grouped queries decodes fast with.
  'llava-1.5': {
    shape: [],
    layers: [2, 8],
    options: ['--rank', '64', '--samples', '16', '--groups', '32'],
  },
  // One latent for all heads, the reference's form.
  'llava-1.5-joint': { shape: [], layers: [2], options: ['--rank', '64', '--samples', '16'] },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    repetitions: { type: 'string', default: '1' },
    data: { type: 'string', default: join(tmpdir(), 'mha2mla-bench') },
  },
});

for (const name of positionals.length > 0 ? positionals : Object.keys(CASES)) {
  const runs = [];
  for (let i = 0; i < Number(values.repetitions); i++) {
    for (const layers of CASES[name].layers) {
      runs.push(await runOnce(name, layers, CASES[name]));
      print(name, runs.at(-1));
    }
  }
  const result = {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0].model,
    node: process.version,
    runs,
  };
  writeFileSync(
    join(HERE, `../results/convert-${name}.json`),
    `${JSON.stringify(result, null, 2)}\n`,
  );
}

async function runOnce(name, layers, { shape, options }) {
  const model = join(values.data, `${name}-${layers}`);
  const out = `${model}-converted`;
  rmSync(out, { recursive: true, force: true });
  if (!existsSync(join(model, 'config.json'))) {
    await measuredProcess([
      join(HERE, 'synthetic-llava.js'),
      model,
      '--layers',
      `${layers}`,
      ...shape,
    ]);
  }
  const calibration = ['--calibration', join(ROOT, 'models/scenes/calibration.jsonl')];
  const convert = [MAIN, 'convert', model, out, ...options, ...calibration, '--json', '--quiet'];
  const dry = JSON.parse((await measuredProcess([...convert, '--dry-run'])).stdout);
  const real = await measuredProcess(convert);
  const files = readdirSync(out).map((file) => statSync(join(out, file)).size);
  const diskBytes = files.reduce((sum, size) => sum + size, 0);
  rmSync(out, { recursive: true });
  const { seconds, cpuSeconds, peakBytes } = real;
  return { layers, seconds, cpuSeconds, peakBytes, diskBytes, dryRun: dry };
}

function print(name, { layers, seconds, cpuSeconds, peakBytes, diskBytes, dryRun }) {
  const gib = (bytes) => (bytes / 2 ** 30).toFixed(2);
  const against = (is, said) => `${is} (${said} said)`;
  console.log(
    `${name}, ${layers} layers: ${against(seconds.toFixed(0), dryRun.seconds.total.toFixed(0))} s, ${cpuSeconds.toFixed(0)} CPU s, ${against(gib(peakBytes), gib(dryRun.peakMemoryBytes))} GiB of memory, ${against(gib(diskBytes), gib(dryRun.diskBytes.output))} GiB of disk`,
  );
}
