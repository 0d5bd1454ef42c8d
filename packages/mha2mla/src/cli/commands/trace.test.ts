import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectClose, fixture, readSafetensors } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('fixtures/hf/llava/checkpoint');
const golden = (prompt: string) => fixture(`fixtures/hf/llava/goldens/${prompt}.safetensors`);
const INPUTS = ['input_ids', 'attention_mask', 'pixel_values'];
let root: string;
const output = () => join(root, 'trace.safetensors');

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-trace-'));
});
afterAll(async () => {
  await rm(root, { recursive: true });
  expect(tf.memory().numTensors).toBe(0);
});

const trace = (prompt: string, ...argv: string[]) =>
  runInProcess([
    ...['trace', MODEL, '--inputs', golden(prompt), '--output', output(), '--quiet'],
    ...argv,
  ]);

describe.each(['naive', 'absorbed'])('with %s attention', (attention) => {
  test.each(['p0', 'p1', 'p2'])('%s: file in, file out, every golden', async (prompt) => {
    const form = ['--attention', attention, '--generate', '16', '--json'];
    const { status, stdout, stderr } = await trace(prompt, ...form);
    expect([status, stderr]).toEqual([0, '']);
    const [traced, expected] = [readSafetensors(output()), readSafetensors(golden(prompt))];
    const names = [...expected.keys()].filter((name) => !INPUTS.includes(name));
    for (const name of names.filter((one) => one !== 'generated_logits')) {
      const [mine, theirs] = [traced.get(name), expected.get(name)!];
      expect([name, mine?.dtype, mine?.shape]).toEqual([name, theirs.dtype, theirs.shape]);
      // Float32 on both sides, summed in other orders; the logits have a deviation of 2.6.
      expectClose(mine!.data, theirs.data, { abs: theirs.dtype === 'F32' ? 1e-4 : 0 });
    }
    const told = JSON.parse(stdout).tensors.map(
      ({ name, shape }: { name: string; shape: number[] }) => [name, shape],
    );
    const written = [...traced].map(([name, { shape }]) => [name, shape]);
    expect(told.sort()).toEqual(written.sort());
  });
});

test('for people the names and shapes are listed, and nothing else is left in the folder', async () => {
  const { stdout, stderr } = await trace('p2');
  expect(stdout).toMatch(/^position_ids \[1, \d+\]\n/);
  expect(stdout).toMatch(/\nlogits \[1, \d+, 448\]\n$/);
  expect(stdout).not.toContain('generated_ids');
  expect(stderr).toBe('');
  expect(await readdir(root)).toEqual(['trace.safetensors']);
});

test('an interruption leaves the file of an earlier trace as it was', async () => {
  const before = readSafetensors(output());
  const argv = ['trace', MODEL, '--inputs', golden('p0'), '--output', output(), '--json'];
  const { status, stdout } = await runInProcess([...argv, '--attention', 'absorbed'], {
    isTTY: true,
    onText: ({ stderr, interrupt }) => {
      if (stderr.includes('load')) interrupt();
    },
  });
  expect([status, stdout]).toEqual([130, '']);
  expect(readSafetensors(output())).toEqual(before);
});

test("--video-positions takes another version's positions of a video", async () => {
  const folder = 'fixtures/hf/qwen2_5_vl';
  const positions = async (...argv: string[]) => {
    const { status, stderr } = await runInProcess([
      ...['trace', fixture(`${folder}/checkpoint`), '--output', output(), '--quiet'],
      ...['--inputs', fixture(`${folder}/goldens/p3.safetensors`), ...argv],
    ]);
    expect([status, stderr]).toEqual([0, '']);
    return readSafetensors(output()).get('position_ids')!;
  };
  const expected = readSafetensors(fixture(`${folder}/goldens/p3.safetensors`));
  const golden = expected.get('position_ids')!;
  expect(await positions()).toEqual(golden);
  // Two thirds of a second a step: three steps at 0, 1, 2, or, cut to whole seconds, at 0; the text
  // goes on behind the two rows of a frame instead of behind the last step.
  const cut = await positions('--video-positions', 'transformers-4.57');
  expect(Math.max(...cut.data)).toBe(Math.max(...golden.data) - 1);
});
