/** Measure cells in processes of their own, each the next one that is not there yet. */
import { fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { fileURLToPath } from 'node:url';

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));
/** A thread a process: two processes share no more than two cores. */
const ONE_THREAD = {
  TF_NUM_INTRAOP_THREADS: '1',
  TF_NUM_INTEROP_THREADS: '1',
  OMP_NUM_THREADS: '1',
  TF_CPP_MIN_LOG_LEVEL: '2',
};

/**
 * @param {readonly object[]} cells in the order in which they are worth measuring.
 * @param {import('./cell-store.js').CellStore} store
 * @param {{ workers?: number, backend?: string, pictures?: number, minutes?: number, log?: (line: string) => void }} options
 *   `minutes` after which no further cell is begun.
 * @returns {Promise<{ measured: number, left: number, failures: string[] }>}
 */
export async function measureCells(cells, store, options = {}) {
  const { workers = 2, minutes = Number.POSITIVE_INFINITY, log = () => {} } = options;
  const pending = new Map();
  for (const cell of cells) {
    if ((await store.read(cell)) !== undefined) continue;
    pending.set(await store.pathOf(cell), { cell, healedPath: await store.healedPathOf(cell) });
  }
  const queue = [...pending.values()];
  /** Healed models that are there, and those that a process is making: others wait for them. */
  const [made, making] = [new Set(), new Set()];
  const settled = new EventEmitter();
  const total = queue.length;
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 60_000;
  const failures = [];
  let measured = 0;
  const next = async () => {
    while (queue.length > 0 && elapsed() < minutes) {
      const at = queue.findIndex(({ healedPath }) => !making.has(healedPath));
      if (at === -1) {
        await once(settled, 'cell');
        continue;
      }
      const [task] = queue.splice(at, 1);
      if (task.cell.heal && !made.has(task.healedPath)) making.add(task.healedPath);
      return task;
    }
    return undefined;
  };
  const settle = async ({ cell, healedPath }, { result, error }) => {
    making.delete(healedPath);
    if (error === undefined) made.add(healedPath);
    settled.emit('cell');
    const name = [cell.family, cell.row, `${cell.ropeDim}+${cell.rank}`, `set ${cell.seed}`].join(
      ', ',
    );
    if (error !== undefined) {
      failures.push(`${name}: ${error}`);
      log(`FAILED ${name}: ${error}`);
      return;
    }
    await store.write(cell, result);
    measured += 1;
    const healed = result.healSeconds ? `, healed in ${result.healSeconds.toFixed(0)} s` : '';
    const shown = `accuracy ${result.accuracy.toFixed(4)}, nll ${result.nll.toFixed(4)}${healed}`;
    log(`${measured}/${total} ${elapsed().toFixed(1)} min | ${name}: ${shown}`);
  };
  const count = Math.min(workers, total);
  await Promise.all(Array.from({ length: count }, () => runWorker(options, next, settle)));
  return { measured, left: total - measured, failures };
}

/** One process, from its start until there is nothing to do. */
function runWorker({ backend = 'auto', pictures }, next, settle) {
  return new Promise((resolve, reject) => {
    const argv = [backend, pictures].filter((value) => value !== undefined).map(String);
    const child = fork(WORKER, argv, { env: { ...ONE_THREAD, ...process.env } });
    let task;
    child.on('message', async (message) => {
      try {
        if (!message.ready) await settle(task, message);
        task = await next();
        if (task) child.send(task);
        else child.disconnect();
      } catch (error) {
        child.kill();
        reject(error);
      }
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (task === undefined && code === 0) resolve();
      else reject(new Error(`measureCells: a worker must end idle, got ${signal ?? code}.`));
    });
  });
}
