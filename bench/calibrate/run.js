/**
 * Calibration of one 7B-shaped layer on each backend: its forward pass over a sample, and the second
 * moments of its input, vision and text apart. Backends alternate, each in a process of its own.
 * `node bench/calibrate/run.js [--repetitions N] [--backends tensorflow,wasm]`; see ../README.md.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    repetitions: { type: 'string', default: '3' },
    backends: { type: 'string', default: 'tensorflow,wasm' },
  },
});
const backends = values.backends.split(',');
const layer = fileURLToPath(new URL('layer.js', import.meta.url));

const runs = Object.fromEntries(backends.map((backend) => [backend, []]));
for (let i = 0; i < Number(values.repetitions); i++) {
  for (const backend of backends) {
    const run = JSON.parse(execFileSync(process.execPath, [layer, backend], { encoding: 'utf8' }));
    console.error(backend, run);
    runs[backend].push(run);
  }
}
const machine = { cpu: cpus()[0].model, cores: availableParallelism(), node: process.version };
writeFileSync(
  new URL('../results/calibrate.json', import.meta.url),
  `${JSON.stringify({ machine, layer: '4096, 32 / 8 heads, MLP 14336, 640 tokens', runs }, null, 2)}\n`,
);

/** The fastest of each: what slows a run is other work on the machine. */
const best = (backend, key) => Math.min(...runs[backend].map((run) => run[key]));
console.log('| backend | forward, s | moments, s | both, CPU s | times as fast |');
console.log('| --- | --- | --- | --- | --- |');
const slowest = (backend) => best(backend, 'forward') + best(backend, 'moments');
for (const backend of backends) {
  const [forward, moments, cpu] = ['forward', 'moments', 'cpu'].map((key) => best(backend, key));
  const ratio = slowest(backends.at(-1)) / (forward + moments);
  const figures = [forward, moments, cpu, ratio].map((value) => value.toFixed(2));
  console.log(`| ${[backend, ...figures].join(' | ')} |`);
}
