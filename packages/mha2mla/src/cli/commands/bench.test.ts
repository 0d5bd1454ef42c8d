import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, expect, test } from 'vitest';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('fixtures/hf/qwen2_5_vl/checkpoint');
const CONVERTED = fixture('fixtures/hf/qwen2_5_vl/mha2mla/converted_checkpoint');
const OTHER_FAMILY = fixture('fixtures/hf/llava/checkpoint');
const SMALL = ['--pp', '8', '--tg', '2', '--depth', '0,16', '--repetitions', '2'];
const bench = (...argv: string[]) => runInProcess(['bench', ...argv, '--quiet']);

afterAll(() => {
  expect(tf.memory().numTensors).toBe(0);
});

test('--json has single samples of both models, and plots that report draws', async () => {
  const argv = [CONVERTED, '--original', MODEL, ...SMALL, '--json'];
  const { status, stdout, stderr } = await bench(...argv);
  expect([status, stderr]).toEqual([0, '']);
  const { results, cacheBytesPerToken } = JSON.parse(stdout);
  const named = (results as { test: string; arm: string; samples: number[] }[]).map(
    ({ test, arm, samples }) => `${test}, ${arm}, ${samples.length}`,
  );
  expect(named).toEqual(
    ['pp8', 'tg2', 'pp8 @ d16', 'tg2 @ d16'].flatMap((one) => [
      `${one}, converted, 2`,
      `${one}, original, 2`,
    ]),
  );
  expect(cacheBytesPerToken.converted).toBeLessThan(cacheBytesPerToken.original);
  const folder = await mkdtemp(join(tmpdir(), 'mha2mla-bench-'));
  try {
    await writeFile(join(folder, 'speed.json'), stdout);
    const page = join(folder, 'page.html');
    const drawn = await runInProcess(['report', join(folder, 'speed.json'), '--out', page]);
    expect(drawn.status).toBe(0);
    expect(await readFile(page, 'utf8')).toContain('tokens of context, on average');
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('for people it is a table, with how many times as fast as the original', async () => {
  const { stdout } = await bench(CONVERTED, '--original', MODEL, ...SMALL);
  expect(stdout).toMatch(/^backend \w+\ntest +model +bytes\/token +tokens\/s\n/);
  expect(stdout).toMatch(/\npp8 @ d16 +converted +\d+ +[\d.]+ ± [\d.]+ {2}[\d.]+ x\n/);
  expect(stdout).toMatch(/\ntg2 @ d16 +original +\d+ +[\d.]+ ± [\d.]+\n$/);
});

test('one model alone, over a quantized cache', async () => {
  const { stdout } = await bench(MODEL, ...SMALL, '--pp', '0', '--kv-bits', '4', '--json');
  const { results, kvBits: _, cacheBytesPerToken } = JSON.parse(stdout);
  expect(results.map(({ test }: { test: string }) => test)).toEqual(['tg2', 'tg2 @ d16']);
  expect(Object.keys(cacheBytesPerToken)).toEqual(['original']);
});

test.each([
  [['--pp', '0', '--tg', '0'], '--pp or --tg must be above 0'],
  [['--depth', '1,x'], 'integers of at least 0, as in 0,1024,4096'],
  [['--original', CONVERTED], 'the other way round or twice the same'],
  [['--original', OTHER_FAMILY], 'must be of one family, got qwen2_5_vl and llava'],
])('%j is a usage error', async (argv, message) => {
  const { status, stdout, stderr } = await bench(CONVERTED, ...argv);
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toContain(message);
});
