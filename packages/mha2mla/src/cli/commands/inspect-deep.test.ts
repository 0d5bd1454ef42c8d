import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, test } from 'vitest';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('models/qwen2_5_vl');
const DATA = ['--data', fixture('models/scenes/calibration.jsonl'), '--samples', '8'];
const deep = (...argv: string[]) =>
  runInProcess(['inspect', MODEL, '--deep', ...DATA, '--quiet', ...argv]);

afterAll(() => expect(tf.memory().numTensors).toBe(0));

test('--json tells by layer and modality what a budget would cost, and nothing is written', async () => {
  const before = await readdir(MODEL);
  const { status, stdout, stderr } = await deep(
    '--kv-budget',
    '0.375',
    '--allocation',
    'uniform',
    '--json',
  );
  expect([status, stderr]).toEqual([0, '']);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({ family: 'qwen2_5_vl', converted: false, layers: 4 });
  const { cacheBytesPerToken, layers, ropeDim, latentRanks, alarms } = report.deep;
  expect(cacheBytesPerToken).toEqual({ original: 1024, converted: 384 });
  expect(ropeDim).toBe(8);
  expect(latentRanks.vision).toEqual([16, 16, 16, 16]);
  expect(layers).toHaveLength(4);
  for (const { vision, text, sink, keyBias } of layers) {
    for (const { tailEnergy, relativeError, moment } of [vision, text]) {
      expect(relativeError).toBeCloseTo(Math.sqrt(tailEnergy), 6);
      expect(tailEnergy).toBeLessThan(0.2);
      expect(moment.effectiveRank).toBeGreaterThan(1);
    }
    expect(sink.attentionShare).toBeGreaterThan(0);
    expect(keyBias.norm).toBeGreaterThan(0);
  }
  expect(Array.isArray(alarms)).toBe(true);
  expect(await readdir(MODEL)).toEqual(before);
});

test('a conversion that propagates the original reports what was predicted', async () => {
  const root = await mkdtemp(join(tmpdir(), 'mha2mla-deep-'));
  const budget = ['--kv-budget', '0.25', '--allocation', 'measured'];
  const calibration = ['--calibration', DATA[1]!, '--samples', '8', '--propagate', 'original'];
  const out = join(root, 'OUT');
  const run = await runInProcess(['convert', MODEL, out, ...budget, ...calibration, '--quiet']);
  expect([run.status, run.stderr]).toEqual([0, '']);
  const report = JSON.parse(await readFile(join(out, 'report.json'), 'utf8'));
  await rm(root, { recursive: true });
  const predicted = JSON.parse((await deep(...budget, '--json')).stdout).deep;
  expect(predicted.cacheBytesPerToken).toEqual(report.cacheBytesPerToken);
  expect(predicted.latentRanks).toEqual(report.options.latentRanks);
  for (const [index, { vision, text }] of report.layers.entries()) {
    for (const [modality, { relativeError }] of Object.entries({ vision, text })) {
      // The same backend adds up the same batches in the same order.
      expect(predicted.layers[index][modality].relativeError).toBeCloseTo(relativeError, 9);
    }
  }
});

test('for people it is a table, and alarms in words', async () => {
  const { status, stdout } = await deep('--rank', '1');
  expect(status).toBe(0);
  expect(stdout).toMatch(/^qwen2_5_vl, original/);
  expect(stdout).toMatch(/layer +tokens +rank +dropped +error +seen/);
  expect(stdout.match(/^ +[0-3] +(vision|text) +1 /gm)).toHaveLength(8);
  expect(stdout).toMatch(/^! layer 0, (vision|text): rank 1 would drop [\d.]+ % of the energy/m);
});

describe('a usage error', () => {
  test.each<[string[], RegExp]>([
    [['--deep'], /--deep needs --data DATA to calibrate on, got none/],
    [['--rank', '4'], /--rank needs --deep, got none/],
    [['--kv-budget', '0.5'], /--kv-budget needs --deep, got none/],
    [['--deep', ...DATA, '--rank', '4', '--kv-budget', '0.5'], /kvBudget/],
    [['--deep', ...DATA, '--rank', '999'], /rank must be an integer from 1 to/],
    [['--deep', ...DATA, '--kv-budget', '2'], /above 0 and at most 1/],
  ])('%j', async (argv, message) => {
    const { status, stdout, stderr } = await runInProcess(['inspect', MODEL, ...argv]);
    expect(stderr).toMatch(message);
    expect([status, stdout]).toEqual([2, '']);
  });
});
