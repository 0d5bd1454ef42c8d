/**
 * One 7B-shaped layer's factorisation, vision and text, by our routes in two worker threads and by
 * the reference's algorithm in Python with two threads: alternating, with the error that each leaves,
 * judged in float64. `node bench/factorise/run.js [CASE…] [--repetitions N] [--arms ARM,…]`; see ../README.md.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { factorPool, useBackend } from 'mha2mla/node';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const resultsOf = (name) => join(HERE, `../results/factorise-${name}.json`);
const MODALITIES = ['vision', 'text'];
/** Latents of `--rank 32` a KV head, which the subspace route takes: a quarter of the widths at most. */
const CASES = {
  'qwen2.5-vl': { dOut: 896, dIn: 3584, rank: 128, heads: 4 },
  'llava-next': { dOut: 1792, dIn: 4096, rank: 256, heads: 8 },
  'llava-1.5': { dOut: 7168, dIn: 4096, rank: 1024, heads: 32 },
};
const ROUTES = ['exact', 'subspace'];
const REFERENCES = ['reference', 'reference-eigh'];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    repetitions: { type: 'string', default: '3' },
    arms: { type: 'string', default: [...ROUTES, ...REFERENCES].join(',') },
    // With one of them, the reference's time is taken twice.
    'reference-modalities': { type: 'string', default: MODALITIES.join(',') },
    python: { type: 'string', default: 'python3' },
    data: { type: 'string', default: join(tmpdir(), 'mha2mla-bench') },
  },
});
const arms = values.arms.split(',');
const python = (...args) =>
  execFileSync(values.python, [join(HERE, 'reference.py'), ...args.map(String)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });

const names = positionals.length > 0 ? positionals : Object.keys(CASES);
for (const name of names) {
  const result = await runCase(name, CASES[name]);
  writeFileSync(resultsOf(name), `${JSON.stringify(result, null, 2)}\n`);
}
printTable(Object.fromEntries(names.map((name) => [name, readResult(name)])));

function readResult(name) {
  return existsSync(resultsOf(name)) ? JSON.parse(readFileSync(resultsOf(name), 'utf8')) : {};
}

async function runCase(name, { dOut, dIn, rank, heads }) {
  const folder = join(values.data, `${dOut}x${dIn}`);
  python('make', folder, dOut, dIn);
  const jobs = readJobs(folder, { dOut, dIn, rank, heads });
  const runs = Object.fromEntries(arms.map((arm) => [arm, []]));
  const add = (arm, run) => {
    runs[arm].push(run);
    const { seconds, cpuSeconds } = run;
    console.error(`${name} ${arm}: ${seconds.toFixed(1)} s, CPU ${cpuSeconds.toFixed(1)} s`);
  };
  // The MHA model's layer takes the reference minutes: once.
  for (let i = 0; i < (dOut > dIn ? 1 : Number(values.repetitions)); i++) {
    for (const arm of arms) {
      add(arm, ROUTES.includes(arm) ? await ours(folder, jobs, arm) : theirs(folder, rank, arm));
    }
  }
  const machine = { cpu: cpus()[0].model, cores: availableParallelism(), node: process.version };
  // Arms that were not asked for keep what they had.
  const old = readResult(name);
  const errors = { ...old.errors, ...JSON.parse(python('judge', folder)) };
  return { machine, dOut, dIn, rank, runs: { ...old.runs, ...runs }, errors };
}

function readJobs(folder, { dOut, dIn, rank, heads }) {
  const weight = floats(Float32Array, join(folder, 'weight.f32'));
  return MODALITIES.map((modality) => ({
    name: `a layer, ${modality}`,
    value: { weight, dOut },
    dIn,
    moment: floats(Float64Array, join(folder, `${modality}.f64`)),
    heads,
    rank,
  }));
}

/**
 * As `convert --workers 2` has it: the start of the threads and all copies are in the time. The
 * subspace route runs on the best backend instead, which has threads of its own.
 */
async function ours(folder, jobs, route) {
  if (route === 'subspace') await useBackend();
  const [start, before] = [performance.now(), process.cpuUsage()];
  const factors = await factorPool({ workers: 2 })(jobs.map((job) => ({ ...job, route })));
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(before); // of all threads
  for (const [i, { upV, down }] of factors.entries()) {
    writeFileSync(join(folder, `${route}.${MODALITIES[i]}.up`), upV);
    writeFileSync(join(folder, `${route}.${MODALITIES[i]}.down`), down);
  }
  return { seconds, cpuSeconds: (user + system) / 1e6 };
}

/** One modality after the other. */
function theirs(folder, rank, arm) {
  const flags = arm === 'reference' ? [] : ['--eigh'];
  const measured = values['reference-modalities']
    .split(',')
    .map((modality) => JSON.parse(python('factorise', folder, rank, modality, ...flags)));
  const total = (key) =>
    (measured.reduce((sum, run) => sum + run[key], 0) * MODALITIES.length) / measured.length;
  const [{ library }] = measured;
  return { seconds: total('seconds'), cpuSeconds: total('cpuSeconds'), library };
}

function floats(Kind, file) {
  const { buffer, byteOffset, byteLength } = readFileSync(file);
  return new Kind(buffer.slice(byteOffset, byteOffset + byteLength));
}

/** Time, and CPU time of all threads, which other work on the machine touches less. */
function printTable(cases) {
  const mean = (list, key) => list.reduce((sum, run) => sum + run[key], 0) / list.length;
  const share = (list, other, key) =>
    other ? (mean(list, key) / mean(other, key)).toFixed(2) : 'not run';
  console.log(
    '| layer | arm | s | CPU s | of the reference, s | CPU | of it with eigh, s | CPU | error, vision | text |',
  );
  console.log(`|${' --- |'.repeat(10)}`);
  for (const [name, { dOut, dIn, rank, runs, errors }] of Object.entries(cases)) {
    for (const arm of [...ROUTES, ...REFERENCES].filter((known) => known in runs)) {
      const list = runs[arm];
      const cells = [`${name}, ${dOut} × ${dIn}, rank ${rank}`, arm];
      for (const key of ['seconds', 'cpuSeconds']) cells.push(mean(list, key).toFixed(1));
      for (const reference of REFERENCES) {
        for (const key of ['seconds', 'cpuSeconds']) cells.push(share(list, runs[reference], key));
      }
      for (const modality of MODALITIES) cells.push(errors[arm][modality]?.toFixed(6) ?? '');
      console.log(`| ${cells.join(' | ')} |`);
    }
  }
}
