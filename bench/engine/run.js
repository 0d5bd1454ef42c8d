/**
 * What spreading a conversion costs: one machine's own way, threads, and 1, 2 and 4 worker processes
 * of a queue on Redis, by turns; and what each kind of job reads and writes.
 * `node bench/engine/run.js [--samples N] [--rounds N] [--rank N]`; see ../README.md.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { calibrationBatches } from 'mha2mla';
import {
  folderOutput,
  jobRuntime,
  loadQuestions,
  openModelFolder,
  openStore,
  placeModel,
  spreadConversion,
  threadEngine,
  useBackend,
} from 'mha2mla/node';
import { measuredProcess } from '../measured-process.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'packages/mha2mla/bin/mha2mla.js');
const MODEL = join(ROOT, 'models/llava');
const CALIBRATION = join(ROOT, 'models/scenes/heal.jsonl');
const PORT = 7398;

const { values } = parseArgs({
  options: {
    samples: { type: 'string', default: '320' },
    rounds: { type: 'string', default: '2' },
    rank: { type: 'string', default: '8' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'mha2mla-bench-engine-'));
const redis = spawn('redis-server', ['--port', `${PORT}`, '--save', '', '--dir', folder]);
const workers = [];
try {
  const seconds = {};
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [name, arm] of Object.entries(ARMS())) {
      const own = await arm(`${name} ${round}`);
      seconds[name] = [...(seconds[name] ?? []), own];
      console.log(`${name}: ${own.toFixed(2)} s`);
    }
  }
  const jobs = await bytesOfJobs();
  console.table(jobs);
  const result = { cpu: cpus()[0].model, node: process.version, ...values, seconds, jobs };
  writeFileSync(join(ROOT, 'bench/results/engine.json'), `${JSON.stringify(result, null, 2)}\n`);
} finally {
  for (const worker of workers) worker.kill();
  redis.kill();
  rmSync(folder, { recursive: true });
}
process.exit();

function ARMS() {
  const queue = ['--engine', `redis://127.0.0.1:${PORT}`, '--store', join(folder, 'store')];
  return {
    'one process': (out) => convert(out, []),
    '1 thread': (out) => convert(out, ['--engine', 'threads', '--workers', '1']),
    '2 threads': (out) => convert(out, ['--engine', 'threads', '--workers', '2']),
    '1 worker': (out) => withWorkers(1, () => convert(out, queue)),
    '2 workers': (out) => withWorkers(2, () => convert(out, queue)),
    '4 workers': (out) => withWorkers(4, () => convert(out, queue)),
  };

  /** Workers are up before the clock starts, and have loaded their backend. */
  async function withWorkers(count, measure) {
    while (workers.length > count) {
      const worker = workers.pop();
      worker.kill();
      await new Promise((resolve) => worker.once('close', resolve));
    }
    while (workers.length < count) {
      const own = ['worker', ...queue, '--workers', '1', '--backend', 'wasm'];
      const worker = spawn(process.execPath, [MAIN, ...own], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      workers.push(worker);
      await new Promise((resolve) => worker.stderr.once('data', resolve));
      worker.stderr.resume();
    }
    return measure();
  }
}

async function convert(out, own) {
  const options = [
    '--rank',
    values.rank,
    '--samples',
    values.samples,
    '--calibration',
    CALIBRATION,
  ];
  const words = ['convert', MODEL, join(folder, out), ...options, '--backend', 'wasm', '--quiet'];
  return (await measuredProcess([MAIN, ...words, ...own])).seconds;
}

/** What jobs of each kind read and write, means in kilobytes, and how long they take. */
async function bytesOfJobs() {
  const runtime = jobRuntime(await useBackend('wasm'));
  const place = { place: join(folder, 'counted'), scratch: folder };
  const store = await openStore(place);
  const inner = threadEngine({ threads: 1, store: place, runtime });
  const kinds = new Map();
  const engine = {
    async run(job, options) {
      const began = performance.now();
      const outputs = await inner.run(job, options);
      const kind = kinds.get(job.kind) ?? { jobs: 0, read: 0, written: 0, seconds: 0 };
      kinds.set(job.kind, kind);
      kind.jobs++;
      kind.read += bytesIn(job);
      kind.written += bytesIn(outputs);
      kind.seconds += (performance.now() - began) / 1000;
      return outputs;
    },
    close: () => inner.close(),
  };
  const { source, close } = await openModelFolder(MODEL);
  const processor = await source.family.loadProcessor(source.config, source.store);
  const questions = await loadQuestions(CALIBRATION, Number(values.samples));
  const calibration = await calibrationBatches(processor, questions);
  const model = await placeModel(MODEL, source, { store, place });
  const output = await folderOutput(join(folder, 'counted-out'), {
    resume: false,
    fingerprint: {},
  });
  const run = 'a'.repeat(64);
  const rank = Number(values.rank);
  await spreadConversion(source, output, {
    rank,
    calibration,
    engine: inOrder(engine),
    store,
    run,
    model,
  });
  await engine.close();
  await close();
  return Object.fromEntries(
    [...kinds].map(([kind, { jobs, read, written, seconds }]) => [
      kind,
      {
        jobs,
        readKB: Math.round(read / jobs / 1000),
        writtenKB: Math.round(written / jobs / 1000),
        ms: Math.round((1000 * seconds) / jobs),
      },
    ]),
  );
}

/** One job at a time, so that each one's own time is seen. */
function inOrder(engine) {
  let last = Promise.resolve();
  return {
    ...engine,
    run(job, options) {
      const result = last.then(() => engine.run(job, options));
      last = result.catch(() => {});
      return result;
    },
  };
}

function bytesIn(value) {
  if (Array.isArray(value)) return value.reduce((sum, part) => sum + bytesIn(part), 0);
  if (typeof value !== 'object' || value === null) return 0;
  if ('sizeBytes' in value) return value.sizeBytes;
  return Object.values(value).reduce((sum, part) => sum + bytesIn(part), 0);
}
