/** Threads are real: the pool and the script of its threads are bundled from the sources. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bundle, bundleSources } from '../cli/testing/bundle-sources';
import { inlineRunner } from '../convert/inline-runner';
import type { FactorJob, FactorRunner } from '../convert/run-factor-job';
import type * as Pool from './factor-pool';

let bundle: Bundle;
let factorPool: typeof Pool.factorPool;

beforeAll(async () => {
  bundle = await bundleSources({
    'factor-pool': 'node/factor-pool.ts',
    'factor-worker': 'node/factor-worker.ts',
  });
  factorPool = await poolOf(bundle.folder);
});
afterAll(() => bundle.remove());

async function poolOf(folder: string): Promise<typeof Pool.factorPool> {
  return (await import(pathToFileURL(join(folder, 'factor-pool.js')).href)).factorPool;
}

const dIn = 24;
const moment = Float64Array.from({ length: dIn * dIn }, (_, i) =>
  i % (dIn + 1) === 0 ? 1 + i / 100 : 0,
);
const outputs = (rows: number, seed: number) => ({
  weight: gaussian(rows * dIn, seed),
  dOut: rows,
});

/** Latents of one KV head each. */
const head = { heads: 1 };

/** A layer's: both modalities, groups, keys alone, values alone, without a moment. */
function jobs(): FactorJob[] {
  return [
    {
      name: 'layer 3, vision',
      key: outputs(10, 1),
      value: outputs(16, 2),
      dIn,
      moment,
      ...head,
      rank: 5,
    },
    {
      name: 'layer 3, text',
      key: outputs(10, 1),
      value: outputs(16, 2),
      dIn,
      moment,
      ...head,
      rank: 7,
    },
    { name: 'layer 3, text, keys', key: outputs(10, 3), dIn, moment, ...head, rank: 4 },
    { name: 'layer 3, text, values', value: outputs(16, 4), dIn, ...head, rank: 4 },
    { name: 'layer 3, wide', value: outputs(40, 5), dIn, moment, ...head, rank: 3 },
  ];
}

test.each([1, 2, 3, 8])('%i threads give the bytes of none', async (workers) => {
  const given = jobs();
  const results = await factorPool({ workers, smallJob: 0 })(given);
  expect(results).toEqual(await inlineRunner(jobs()));
  expect(given).toEqual(jobs()); // nothing that was given is taken away
});

test('by the subspace route, threads take the backend of the main thread', async () => {
  await import('@tensorflow/tfjs-backend-cpu');
  await tf.setBackend('cpu');
  const given = jobs().map((job) => ({ ...job, rank: 2, route: 'subspace' as const }));
  const results = await factorPool({ workers: 2, smallJob: 0 })(given);
  expect(results).toEqual(await inlineRunner(given));
});

test('a layer of small jobs needs no thread', async () => {
  // Beside the sources there is no script of a thread.
  const fromSources = (await import('./factor-pool')).factorPool;
  expect(await fromSources({ workers: 2 })(jobs())).toEqual(await inlineRunner(jobs()));
  await expect(fromSources({ workers: 2, smallJob: 0 })(jobs())).rejects.toThrow(
    /a thread must answer for the factor of layer 3, (vision|text), got .*factor-worker/,
  );
});

test('a job that fails is named, and its error kept as the cause', async () => {
  const given = jobs();
  given[1]!.rank = 99;
  const error = await factorPool({ workers: 2, smallJob: 0 })(given).catch((reason) => reason);
  expect(error.message).toMatch(/^factor of layer 3, text: .*rank must be .* got 99\./);
  expect(error.cause.name).toBe('RangeError');
});

test('an abort ends the threads, with the reason that was given', async () => {
  const run: FactorRunner = factorPool({ workers: 2, smallJob: 0 });
  const abort = new AbortController();
  const running = run(jobs(), abort.signal);
  abort.abort(new Error('enough'));
  await expect(running).rejects.toThrow('enough');
  await expect(run(jobs(), abort.signal)).rejects.toThrow('enough');
  expect(await run(jobs())).toHaveLength(5);
});

describe('a lost thread', () => {
  test.each([
    ['ends', 'process.exit(7)', /got its end with code 7\./],
    ['throws', "setTimeout(() => { throw new Error('out of luck'); })", /got out of luck\./],
  ])('that %s is an error with the name of its job and what to do', async (_, act, got) => {
    const lost = await bundleSources({ 'factor-pool': 'node/factor-pool.ts' });
    try {
      const script = `import { parentPort } from 'node:worker_threads';
        parentPort.on('message', () => { ${act}; });`;
      await writeFile(join(lost.folder, 'factor-worker.js'), script);
      const run = (await poolOf(lost.folder))({ workers: 1, smallJob: 0 });
      const error = await run(jobs()).catch((reason) => reason);
      expect(error.message).toMatch(/^factorPool: .* factor of layer 3, vision, got /);
      expect(error.message).toMatch(got);
      expect(error.message).toMatch(/finished are kept: resume, with fewer workers/);
    } finally {
      await lost.remove();
    }
  });
});
