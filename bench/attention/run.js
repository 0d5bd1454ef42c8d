/**
 * One attention layer of a 7B model, converted against original, tfjs written naively, PyTorch and
 * onnxruntime: `node bench/attention/run.js [SHAPE…] [options]`; see ../README.md. Each arm is a
 * process of its own; they are asked by turns. What results/attention.json holds of a shape, backend
 * and context is not measured again, unless an arm is new or `--fresh` is given.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawAgainstBytes } from 'mha2mla/node';
import { startAsked } from '../asked-process.js';
import { plotsOf } from './plots.js';
import { PIECE, SHAPES } from './shapes.js';
import { tablesOf } from './tables.js';

/** Milliseconds of a step from which an arm is asked once only. */
const SLOW = 2000;
/** Further steps of an arm that is not slow before those that are counted. */
const WARM = 24;
const HERE = fileURLToPath(new URL('.', import.meta.url));
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    backends: { type: 'string', default: 'tensorflow,wasm' },
    contexts: { type: 'string', default: '1024,4096,16384,32768' },
    prefill: { type: 'string', default: '1024,4096' },
    arms: { type: 'string' },
    groups: { type: 'string' },
    rounds: { type: 'string', default: '7' },
    steps: { type: 'string', default: '4' },
    threads: { type: 'string', default: '2' },
    python: { type: 'string' },
    onnxruntime: { type: 'string' },
    clock: { type: 'string', default: 'wall' },
    fresh: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
    out: { type: 'string', default: `${HERE}../results/attention.json` },
  },
});
const shapes = positionals.length > 0 ? positionals : Object.keys(SHAPES);
const lengths = (list) => list.split(',').filter(Boolean).map(Number);
const contexts = lengths(flags.contexts).sort((a, b) => a - b);
const results = existsSync(flags.out) ? JSON.parse(readFileSync(flags.out, 'utf8')).results : {};
if (!flags.table) {
  checkFlags();
  for (const shape of shapes)
    for (const backend of flags.backends.split(',')) await run(shape, backend);
}
for (const { name, series, options } of plotsOf(results, flags.clock)) {
  const svg = await drawAgainstBytes(series, { ...options, id: name });
  await writeFile(flags.out.replace(/\.json$/, `-${name}.svg`), svg);
}
console.log(tablesOf(results, flags.clock));

function checkFlags() {
  const unknown = shapes.find((shape) => !(shape in SHAPES));
  if (unknown) {
    throw new Error(
      `attention: SHAPE must be of ${Object.keys(SHAPES).join(', ')}, got ${unknown}.`,
    );
  }
  const odd = contexts.find((context) => !(context > 0 && context % PIECE === 0));
  if (odd !== undefined) {
    throw new Error(`attention: contexts must be multiples of ${PIECE}, got ${odd}.`);
  }
  for (const [name, how] of [
    ['python', 'PATH of a Python with torch and numpy'],
    ['onnxruntime', 'FOLDER where `npm install --ignore-scripts onnxruntime-node` was run'],
  ]) {
    if (!flags[name]) console.error(`attention: that arm is left out without --${name} ${how}`);
  }
}

function armsOf({ numKeyValueHeads: heads }) {
  const divisors = Array.from({ length: heads }, (_, i) => i + 1).filter(
    (groups) => groups > 1 && heads % groups === 0,
  );
  const groups = flags.groups
    ? lengths(flags.groups).filter((g) => divisors.includes(g))
    : divisors;
  const all = [
    ...['original', 'joint', ...groups.map((g) => `groups ${g}`), 'naive'],
    ...(flags.python ? ['pytorch'] : []),
    ...(flags.onnxruntime ? ['onnxruntime'] : []),
  ];
  const wanted = flags.arms?.split(',');
  return wanted ? all.filter((arm) => wanted.includes(arm)) : all;
}

async function run(shape, backend) {
  const names = armsOf(SHAPES[shape]);
  const trials = [
    ...contexts.flatMap((context) => ['core', 'decode'].map((kind) => ({ kind, context }))),
    ...lengths(flags.prefill).map((context) => ({ kind: 'prefill', context })),
  ];
  const keyOf = ({ kind, context }) => `${shape} ${backend} ${kind} ${context}`;
  const missing = trials.filter(
    (trial) => flags.fresh || names.some((name) => !results[keyOf(trial)]?.[name]),
  );
  if (missing.length === 0) return;
  const arms = new Map();
  try {
    for (const name of names) arms.set(name, await start(shape, name, backend));
    for (const trial of missing) {
      results[keyOf(trial)] = await measure(arms, trial, `${shape} ${backend}`);
      save();
    }
  } finally {
    for (const { child } of arms.values()) child.kill();
  }
}

/**
 * First calls of each arm are not counted: they fill caches, pack weights, start threads, and code is
 * compiled as it gets hot.
 */
async function measure(arms, { kind, context }, where) {
  const once = kind === 'prefill';
  const samples = {};
  for (let round = 0; round <= Number(flags.rounds); round++) {
    if (once && round > Math.min(2, Number(flags.rounds))) break;
    for (const [name, arm] of arms) {
      if (samples[name]?.error || samples[name]?.slow) continue;
      if (round === 1 && !once) await arm.ask({ kind, context, steps: WARM });
      const answer = await arm.ask({ kind, context, steps: once ? 1 : Number(flags.steps) });
      samples[name] ??= { wall: [], cpu: [], output: answer.output };
      const own = samples[name];
      if (answer.error) own.error = answer.error;
      else own.slow = !once && median(answer.wall) > SLOW;
      if (own.slow || (!own.error && (round > 0 || flags.rounds === '0'))) {
        own.wall.push(median(answer.wall));
        own.cpu.push(median(answer.cpu));
      }
    }
  }
  for (const [name, own] of Object.entries(samples)) {
    const text = own.error ?? `${Math.min(...own.wall).toFixed(2)} ms`;
    console.error(`${where} ${kind} ${context} ${name}: ${text}${differs(own, samples.original)}`);
  }
  return Object.fromEntries(Object.entries(samples).map(([name, own]) => [name, rounded(own)]));
}

/** How far the first outputs are from the original's, where both compute the same. */
function differs({ output }, original) {
  if (!output || !original?.output) return '';
  const off = Math.max(...output.map((value, i) => Math.abs(value - original.output[i])));
  return `, off the original's by ${(off / Math.max(...original.output.map(Math.abs))).toExponential(1)}`;
}

function rounded({ wall, cpu, error }) {
  if (error) return { error };
  const digits = (list) => list.map((value) => Number(value.toFixed(3)));
  return { wall: digits(wall), cpu: digits(cpu) };
}

function median(list) {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
}

/** @returns the process of an arm, ready to be asked. */
function start(shape, name, backend) {
  const [command, argv] =
    name === 'pytorch'
      ? [flags.python, [`${HERE}arm.py`, JSON.stringify(SHAPES[shape]), flags.threads]]
      : [process.execPath, [`${HERE}arm.js`, shape, name, ...placeOf(name, backend)]];
  return startAsked(`${name} of ${shape} on ${backend}`, command, argv, flags.threads);
}

/** What an arm runs on. */
function placeOf(name, backend) {
  return name === 'onnxruntime' ? [flags.onnxruntime, flags.threads] : [backend];
}

function save() {
  const machine = { cpu: cpus()[0].model, cores: availableParallelism(), node: process.version };
  const rows = Object.entries(results).map(
    ([key, cell]) => `${JSON.stringify(key)}: ${JSON.stringify(cell)}`,
  );
  writeFileSync(
    flags.out,
    `{\n"machine": ${JSON.stringify(machine)},\n"results": {\n${rows.join(',\n')}\n}\n}\n`,
  );
}
