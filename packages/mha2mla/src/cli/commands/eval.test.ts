import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture, readSafetensors } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, test } from 'vitest';
import { openModelFolder } from '../../node/open-model';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('models/llava');
const DATA = fixture('models/scenes/test.jsonl');
const ask = (...argv: string[]) => runInProcess(['eval', MODEL, DATA, ...argv, '--quiet']);

afterAll(() => {
  expect(tf.memory().numTensors).toBe(0);
});

test('--json gives one document with the fields that scripts rely on', async () => {
  const { status, stdout, stderr } = await ask('--limit', '6', '--json');
  expect([status, stderr]).toEqual([0, '']);
  const { nll, cacheBytesAllocated, ...report } = JSON.parse(stdout);
  expect(report).toEqual({
    questions: 6,
    accuracy: 1,
    accuracyByKind: { color: 1, what: 1 },
    cacheBytesPerToken: 3072,
    cacheBytesByModality: { vision: 3072, text: 3072 },
    answers: [' car', ' yellow', ' car', ' rainbow', ' magnet', ' magnet'],
  });
  expect(nll).toBeGreaterThan(0);
  expect(nll).toBeLessThan(0.1);
  // Six prompts, held in 32 bits.
  expect(cacheBytesAllocated % (6 * 2 * 3072)).toBe(0);
});

test('for people it is a few lines, with a line a kind', async () => {
  const { stdout, stderr } = await ask('--limit', '3');
  expect(stdout).toMatch(
    /^accuracy 100\.0 % of 3 questions\n {2}color 100\.0 %\n {2}what 100\.0 %\nnegative log-likelihood 0\.\d{4} an answer token\ncache 3072 bytes a token \(\d+ held by the largest batch\)\n$/,
  );
  expect(stderr).toBe('');
});

test('fewer bits take fewer bytes, and change the likelihood', async () => {
  const of = async (...bits: string[]) =>
    JSON.parse((await ask('--limit', '2', '--json', ...bits)).stdout);
  const [whole, four] = [await of(), await of('--kv-bits', '4')];
  expect(four.cacheBytesPerToken).toBe(3072 * (20 / 64));
  // In each of two rows; of the whole cache, held in 32 bits, tensorflow has tiles of 64.
  const tokens = four.cacheBytesAllocated / (2 * 3072 * (20 / 64));
  expect([tokens, 64 * Math.ceil(tokens / 64)]).toContain(whole.cacheBytesAllocated / (4 * 3072));
  expect(four.nll).not.toBe(whole.nll);
});

test('narrower weights change the likelihood, and no answer', async () => {
  const of = async (...weights: string[]) =>
    JSON.parse((await ask('--limit', '3', '--json', ...weights)).stdout);
  const [whole, eight] = [await of(), await of('--weights', 'int8')];
  expect(eight.answers).toEqual(whole.answers);
  expect(eight.nll).not.toBe(whole.nll);
  expect(Math.abs(eight.nll - whole.nll)).toBeLessThan(0.01);
  const { status, stderr } = await ask('--weights', 'int5');
  expect(status).toBe(2);
  expect(stderr).toContain('Allowed choices are f32, f16, int8, int4');
});

test('batches of one and short answers', async () => {
  const { stdout } = await ask('--limit', '3', '--batch', '1', '--max-tokens', '1', '--json');
  expect(JSON.parse(stdout).answers).toHaveLength(3);
});

test('an interruption between two batches ends it, with the line that starts it again', async () => {
  const { status, stdout, stderr } = await runInProcess(
    ['eval', MODEL, DATA, '--batch', '1', '--json'],
    {
      isTTY: true,
      onText: ({ stderr: text, interrupt }) => {
        if (text.includes('evaluate')) interrupt();
      },
    },
  );
  expect([status, stdout]).toEqual([130, '']);
  expect(stderr).toMatch(/interrupted; start again with: mha2mla eval .* --batch 1 --json\n$/);
});

describe('media of every family, from files', () => {
  /** A prompt of the fixtures as an entry of DATA, answered by what the original generates. */
  async function entryOf(folder: string, family: string, prompt: string) {
    const path = fixture(`fixtures/hf/${family}/goldens/goldens.json`);
    const { prompts } = JSON.parse(await readFile(path, 'utf8'));
    const { messages, images, videos, fps = [], generated_text } = prompts[prompt];
    const own = `${prompt}-${family}`;
    await cp(fixture(`fixtures/hf/${family}/images`), join(folder, own), { recursive: true });
    const answer = { role: 'assistant', content: generated_text[0] };
    return JSON.stringify({
      images: images.map((name: string) => `${own}/${name}`),
      videos: videos.map((frames: string[], i: number) => {
        return { frames: frames.map((name) => `${own}/${name}`), fps: fps[i] };
      }),
      messages: [...messages[0], answer],
    });
  }

  test.each([
    ['llava', ['p0', 'p1', 'p2']],
    ['llava_next', ['p0', 'p1', 'p2']],
    ['qwen2_5_vl', ['p0', 'p1', 'p2', 'p3', 'p4']],
  ])('%s: pictures, videos and text, in one batch', async (family, prompts) => {
    const folder = await mkdtemp(join(tmpdir(), 'mha2mla-eval-'));
    const entries = await Promise.all(prompts.map((prompt) => entryOf(folder, family, prompt)));
    await writeFile(join(folder, 'data.jsonl'), entries.join('\n'));
    const model = fixture(`fixtures/hf/${family}/checkpoint`);
    const { status, stdout, stderr } = await runInProcess([
      ...['eval', model, join(folder, 'data.jsonl'), '--json', '--quiet', '--max-tokens', '4'],
    ]);
    await rm(folder, { recursive: true });
    expect([status, stderr]).toEqual([0, '']);
    const { questions, answers } = JSON.parse(stdout);
    expect(questions).toBe(prompts.length);
    // Four greedy tokens are what the original's sixteen begin with, special ones left out.
    for (const [i, prompt] of prompts.entries()) {
      const ids = readSafetensors(fixture(`fixtures/hf/${family}/goldens/${prompt}.safetensors`));
      const first = Array.from(ids.get('generated_ids')!.data.subarray(0, 4));
      expect(answers[i], prompt).toBe(await decode(model, first));
    }
  });
});

async function decode(folder: string, ids: number[]): Promise<string> {
  const { source, close } = await openModelFolder(folder);
  const { tokenizer } = await source.family.loadProcessor(source.config, source.store);
  await close();
  return tokenizer.decode(ids, { skipSpecialTokens: true });
}
