/**
 * The built module in the places that it is meant for: a worker thread, and a realm with no more
 * than what browsers, workers and Node have in common.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { fixture } from '@mha2mla/testing';
import { build } from 'tsup';
import { afterAll, beforeAll, expect, test } from 'vitest';

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-'));
  await build({
    config: false,
    silent: true,
    entry: [fixture('packages/lowrank/src/linear-algebra.ts')],
    outDir: folder,
    format: ['esm', 'iife'],
    globalName: 'lowrank',
    target: 'es2022',
    platform: 'neutral',
    outExtension: ({ format }) => ({ js: format === 'esm' ? '.mjs' : '.js' }),
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

const eigenvalues =
  'loadLinearAlgebra().then((la) => [...la.eigh(Float64Array.of(2, 1, 1, 2), 2).values])';

test('loads in a worker thread', async () => {
  const file = join(folder, 'worker.mjs');
  writeFileSync(
    file,
    `import { parentPort } from 'node:worker_threads';
     import { loadLinearAlgebra } from './linear-algebra.mjs';
     parentPort.postMessage(await ${eigenvalues});`,
  );
  const worker = new Worker(file);
  const values = await new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  await worker.terminate();
  expect(values).toEqual([expect.closeTo(3, 14), expect.closeTo(1, 14)]);
});

test('needs no global but atob and WebAssembly', async () => {
  const context = createContext({ atob });
  runInContext(readFileSync(join(folder, 'linear-algebra.js'), 'utf8'), context);
  const values: number[] = await runInContext(`lowrank.${eigenvalues}`, context);
  expect([...values]).toEqual([expect.closeTo(3, 14), expect.closeTo(1, 14)]);
});
