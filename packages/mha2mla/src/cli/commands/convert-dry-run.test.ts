import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runInProcess } from '../testing/run-in-process';
import { describeDryRun } from './convert-dry-run';

const MODEL = fixture('models/llava');
const CALIBRATION = ['--calibration', fixture('models/scenes/calibration.jsonl'), '--samples', '8'];
let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-dry-run-'));
});
afterAll(async () => {
  await rm(root, { recursive: true });
  expect(tf.memory().numTensors).toBe(0);
});

test('--json tells time, memory and disk, and nothing is written in OUT or beside it', async () => {
  const out = join(root, 'none/such/OUT');
  const argv = ['convert', MODEL, out, '--rank', '12', ...CALIBRATION, '--quiet'];
  const dry = await runInProcess([...argv, '--dry-run', '--json', '--spill-above', '0']);
  expect([dry.status, dry.stderr]).toEqual([0, '']);
  expect(await readdir(root)).toEqual([]);
  const found = JSON.parse(dry.stdout);
  expect(found).toMatchObject({ dryRun: true, layers: 4 });
  expect(found.seconds.total).toBeGreaterThan(3 * found.seconds.layer);
  expect(found.peakMemoryBytes).toBeGreaterThan(2 ** 26);
  expect(found.diskBytes.free).toBeGreaterThan(0);
  // Eight samples of 36 tokens of a picture and a few of text, each 192 wide.
  expect(found.diskBytes.hiddenStates).toBeGreaterThan(8 * 40 * 192 * 4);
  expect(found.diskBytes.hiddenStates).toBeLessThan(8 * 80 * 192 * 4);

  expect((await runInProcess(argv)).status).toBe(0);
  const index = await readFile(join(out, 'model.safetensors.index.json'), 'utf8');
  expect(found.diskBytes.output).toBe(JSON.parse(index).metadata.total_size);
});

test('OUT is checked as for a run', async () => {
  const { status, stdout, stderr } = await runInProcess([
    ...['convert', MODEL, fixture('models/scenes'), '--rank', '12', ...CALIBRATION],
    '--dry-run',
  ]);
  expect([status, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/models\/scenes/);
});

test('for people it is three lines, with what is missing of the disk', () => {
  const GB = 1e9;
  const found = {
    ...({ dryRun: true, layers: 32, peakMemoryBytes: 4.5 * GB } as const),
    seconds: { total: 6000, layer: 180 },
    diskBytes: { output: 12 * GB, hiddenStates: 250e3, free: 20 * GB },
  };
  expect(describeDryRun(found)).toBe(
    'time    100 min, 32 layers of 3 min\nmemory  4.5 GB at most\ndisk    12 GB for the result, 250 KB for hidden states meanwhile; 20 GB are free',
  );
  const full = { ...found, diskBytes: { ...found.diskBytes, free: 10 * GB } };
  expect(describeDryRun(full)).toMatch(/10 GB are free, 2 GB too few$/);
});
