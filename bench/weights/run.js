/**
 * What weights of fewer bits cost, and what they take.
 *   node bench/weights/run.js quality [--limit 300] [--backend wasm]   answers of the small models
 *   node bench/weights/run.js load [--layers 32] [--weights int4] [--backend webgpu]   a 7B-shaped decoder
 * See ../README.md.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { measuredProcess } from '../measured-process.js';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = join(HERE, '../..');
const MAIN = join(ROOT, 'packages/mha2mla/bin/mha2mla.js');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    limit: { type: 'string', default: '300' },
    layers: { type: 'string', default: '32' },
    weights: { type: 'string' },
    backend: { type: 'string' },
    data: { type: 'string', default: join(tmpdir(), 'mha2mla-bench') },
  },
});

const parts = { quality, load };
for (const name of positionals.length > 0 ? positionals : Object.keys(parts)) {
  const rows = await parts[name]();
  const result = { date: new Date().toISOString().slice(0, 10), cpu: cpus()[0].model, rows };
  const file = join(HERE, `../results/weights-${name}.json`);
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
}

async function quality() {
  const rows = [];
  const { limit, backend = 'wasm' } = values;
  for (const model of ['llava', 'llava_next', 'qwen2_5_vl']) {
    for (const weights of values.weights?.split(',') ?? ['f32', 'f16', 'int8', 'int4']) {
      const argv = ['eval', join(ROOT, 'models', model), join(ROOT, 'models/scenes/test.jsonl')];
      const options = ['--limit', limit, '--weights', weights, '--backend', backend];
      const { stdout, cpuSeconds } = await measuredProcess([
        MAIN,
        ...argv,
        ...options,
        '--json',
        '--quiet',
      ]);
      const { accuracy, nll, questions } = JSON.parse(stdout);
      rows.push({ model, weights, backend, questions, accuracy, nll, cpuSeconds });
      const percent = (100 * accuracy).toFixed(1);
      console.log(`${model}, ${weights}: ${percent} %, ${nll.toFixed(4)}, ${cpuSeconds} CPU s`);
    }
  }
  return rows;
}

async function load() {
  const rows = [];
  const { weights = 'int4', backend = 'webgpu' } = values;
  for (const layers of values.layers.split(',').map(Number)) {
    const model = join(values.data, `alike-${layers}`);
    if (!existsSync(join(model, 'config.json'))) {
      const shape = ['--layers', `${layers}`, '--vocabulary', '32064', '--alike'];
      await measuredProcess([join(HERE, '../convert/synthetic-llava.js'), model, ...shape]);
    }
    const options = ['--weights', weights, '--backend', backend, '--json', '--quiet'];
    const one = ['--pp', '0', '--tg', '1', '--depth', '0', '--repetitions', '1'];
    const { peakBytes, cpuSeconds, seconds } = await measuredProcess([
      MAIN,
      'bench',
      model,
      ...one,
      ...options,
    ]);
    rows.push({ layers, weights, backend, peakBytes, cpuSeconds, seconds });
    const gib = (peakBytes / 2 ** 30).toFixed(2);
    console.log(`${layers} layers, ${weights}, ${backend}: ${gib} GiB, ${cpuSeconds} CPU s`);
  }
  return rows;
}
