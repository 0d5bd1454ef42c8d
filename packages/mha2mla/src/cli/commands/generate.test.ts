import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import sharp from 'sharp';
import { afterAll, describe, expect, test } from 'vitest';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('models/llava');
const picture = (name: string) => ['--image', fixture(`models/scenes/images/${name}.png`)];
const FIRST = picture('test-000');
const LIST = ['--prompt', 'list all the objects in order.'];
const generate = (...argv: string[]) => runInProcess(['generate', MODEL, ...argv, '--quiet']);

async function document(...argv: string[]) {
  const { status, stdout, stderr } = await generate(...argv, '--json');
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}
const textOf = async (...argv: string[]): Promise<string> => (await document(...argv)).text;

afterAll(() => {
  expect(tf.memory().numTensors).toBe(0);
});

describe('an answer', () => {
  test('goes to standard output, and nothing to standard error', async () => {
    expect(await generate(...FIRST, '--prompt', 'what is in the middle center?')).toEqual({
      status: 0,
      stdout: ' car\n',
      stderr: '',
    });
  });

  test('--stats tells speed and bytes on standard error, --quiet does not hide them', async () => {
    const { stdout, stderr } = await generate(...FIRST, ...LIST, '--stats');
    expect(stdout.trim().split(', ').length).toBeGreaterThan(1);
    expect(stderr).toMatch(
      /^\d+ tokens \(stop\), first after \d+ ms, prefill [\d.]+ tokens\/s, decode [\d.]+ tokens\/s \(composed\), cache \d+ bytes \(\d+ held\), peak memory [\d.]+ [MG]B\n$/,
    );
  });

  test('--json gives one document with the fields that scripts rely on', async () => {
    const answer = await document(...FIRST, ...LIST);
    expect(answer).toEqual({
      text: (await generate(...FIRST, ...LIST)).stdout.slice(0, -1),
      tokens: expect.any(Number),
      finishReason: 'stop',
      prefillTokensPerSecond: expect.any(Number),
      decodeTokensPerSecond: expect.any(Number),
      decodedBy: 'composed',
      timeToFirstTokenMs: expect.any(Number),
      cacheBytes: expect.any(Number),
      cacheBytesAllocated: expect.any(Number),
      peakMemoryBytes: expect.any(Number),
    });
    expect(answer.prefillTokensPerSecond).toBeGreaterThan(1);
    expect(answer.decodeTokensPerSecond).toBeGreaterThan(1);
    // 3,072 bytes a token at 16 bits; held in 32, on tensorflow in whole tiles of 64.
    const [tokens, held] = [answer.cacheBytes / 3072, answer.cacheBytesAllocated / (2 * 3072)];
    expect(Number.isInteger(tokens)).toBe(true);
    expect([tokens, 64 * Math.ceil(tokens / 64)]).toContain(held);
    // Of a peak of 50 MB and more.
    expect(answer.peakMemoryBytes).toBeGreaterThan(5e7);
  });

  test('a cache of fewer bits is reported as such', async () => {
    const four = await document(...FIRST, ...LIST, '--kv-bits', '4', '--max-tokens', '1');
    const whole = await document(...FIRST, ...LIST, '--max-tokens', '1');
    // Per 32 channels 16 bytes, a scale and a zero point, against 64.
    expect(four.cacheBytes / whole.cacheBytes).toBe(20 / 64);
  });

  test('ends at --max-tokens, and at the first --stop text, which is left out', async () => {
    const whole = await document(...FIRST, ...LIST);
    const short = await document(...FIRST, ...LIST, '--max-tokens', '2');
    expect(short).toMatchObject({ tokens: 2, finishReason: 'length' });
    expect(whole.text.startsWith(short.text)).toBe(true);
    const [first, , third] = whole.text.split(', ');
    for (const stop of [', ', third]) {
      const { text, finishReason } = await document(
        ...FIRST,
        ...LIST,
        ...['--stop', 'never said', '--stop', stop],
      );
      expect(finishReason).toBe('stop');
      expect(text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
      expect(text.startsWith(first)).toBe(true);
      const { stdout } = await generate(...FIRST, ...LIST, '--stop', stop);
      expect(stdout).toBe(`${text}\n`);
    }
  });

  test('a prompt of standard input is that of the command line', async () => {
    const [, prompt] = LIST;
    const { stdout } = await runInProcess(['generate', MODEL, ...FIRST, '--prompt', '-'], {
      stdin: `${prompt}\n`,
    });
    expect(stdout).toBe((await generate(...FIRST, ...LIST)).stdout);
  });

  test('depends on a second picture, on their order, and on the system message', async () => {
    const other = picture('test-003');
    const one = await textOf(...FIRST, ...LIST);
    const two = await textOf(...FIRST, ...other, ...LIST);
    expect(two).not.toBe(one);
    expect(await textOf(...other, ...FIRST, ...LIST)).not.toBe(two);
    const { tokens, cacheBytes } = await document(...FIRST, ...LIST, '--system', 'Be short.');
    const plain = await document(...FIRST, ...LIST);
    expect(cacheBytes - 3072 * tokens).toBeGreaterThan(plain.cacheBytes - 3072 * plain.tokens);
  });
});

test.each([
  [1, 1],
  [1, 10_000],
  [10_000, 1],
])('a picture of %i x %i is answered', async (width, height) => {
  const create = { width, height, channels: 3, background: 'red' } as const;
  const path = join(tmpdir(), `mha2mla-${process.pid}-${width}x${height}.png`);
  await sharp({ create }).png().toFile(path);
  const { status, stdout } = await generate('--image', path, '--prompt', 'what is it?');
  await rm(path);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^ \w+.*\n$/);
});

describe('a conversation', () => {
  const CENTER = 'what is in the middle center?';

  test('goes on with each prompt, over what is cached, and tells of all in JSON', async () => {
    const two = await document(...FIRST, ...LIST, '--prompt', CENTER);
    const [first, second] = two.answers;
    expect(first.text).toBe(await textOf(...FIRST, ...LIST));
    expect(second).toEqual({ ...two, answers: undefined });
    expect(second.cacheBytes).toBeGreaterThan(first.cacheBytes);
    const { stdout } = await generate(...FIRST, ...LIST, '--prompt', CENTER);
    expect(stdout).toBe(`${first.text}\n${second.text}\n`);
  });

  test('--chat takes its turns from the lines of standard input', async () => {
    const { stdout } = await generate(...FIRST, ...LIST, '--prompt', CENTER);
    const lines = { stdin: `${LIST[1]}\n\n${CENTER}\n` };
    const chat = await runInProcess(['generate', MODEL, ...FIRST, '--chat', '--quiet'], lines);
    expect([chat.status, chat.stdout]).toEqual([0, stdout]);
    const after = { stdin: CENTER };
    const argv = ['generate', MODEL, ...FIRST, ...LIST, '--chat', '--quiet'];
    expect((await runInProcess(argv, after)).stdout).toBe(stdout);
  });

  test.each([
    [[], /expected --prompt or --chat, got neither/],
    [['--chat', '--prompt', '-'], /standard input must be read once/],
    [['--chat'], /expected a prompt, got none/],
  ])('%j is a usage error', async (argv, message) => {
    const whole = ['generate', MODEL, ...argv];
    const { status, stdout, stderr } = await runInProcess(whole, { stdin: '\n' });
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });
});

describe('sampling', () => {
  const hot = [...FIRST, ...LIST, '--temperature', '5', '--max-tokens', '12'];

  test('is reproduced by its seed', async () => {
    const one = await textOf(...hot, '--seed', '1');
    expect(await textOf(...hot, '--seed', '1')).toBe(one);
    expect(await textOf(...hot, '--seed', '2')).not.toBe(one);
  });

  test.each([
    [['--top-k', '1']],
    [['--top-p', '1e-9']],
    [['--min-p', '1']],
    [['--temperature', '0']],
  ])('%j leaves the most likely tokens', async (options) => {
    const greedy = await textOf(...FIRST, ...LIST, '--max-tokens', '12');
    expect(await textOf(...hot, ...options)).toBe(greedy);
  });

  test('a repetition penalty keeps it from saying what was said, by the prompt or itself', async () => {
    const ask = (said: string, ...argv: string[]) =>
      textOf(...FIRST, '--prompt', `${said}${LIST[1]}`, '--max-tokens', '8', ...argv);
    const penalty = ['--repetition-penalty', '1000'];
    expect(await ask('car rainbow ')).toMatch(/^ car, car, rainbow, rainbow/);
    expect(await ask('', ...penalty)).toMatch(/^ car, (?!.*(car|,))/);
    expect(await ask('umbrella ', ...penalty)).toMatch(/^ car/);
    expect(await ask('the car, the ', ...penalty)).not.toMatch(/car|,/);
  });
});

describe('an interruption', () => {
  test('keeps the partial answer and its stats', async () => {
    const argv = ['generate', MODEL, ...FIRST, '--quiet', '--stats', ...LIST];
    const { status, stdout, stderr } = await runInProcess(argv, {
      onText: ({ stdout: text, interrupt }) => {
        if (text !== '') interrupt();
      },
    });
    expect(status).toBe(130);
    const whole = (await generate(...FIRST, ...LIST)).stdout;
    expect(stdout.length).toBeGreaterThan(1);
    expect(whole.startsWith(stdout.trimEnd())).toBe(true);
    expect(stdout.length).toBeLessThan(whole.length);
    const [stats, line] = stderr.split('\n');
    expect(stats).toMatch(/^\d+ tokens? \(abort\), first after/);
    expect(line).toBe(
      `interrupted; start again with: mha2mla ${argv.slice(0, -1).join(' ')} '${LIST[1]}'`,
    );
  });

  test('in the prefill, or before it, gives no number that means nothing', async () => {
    for (const phase of ['load', 'prefill']) {
      const { status, stdout } = await runInProcess(
        ['generate', MODEL, ...FIRST, ...LIST, '--json'],
        {
          isTTY: true,
          onText: ({ stderr: text, interrupt }) => {
            if (text.includes(phase)) interrupt();
          },
        },
      );
      expect(status).toBe(130);
      if (phase === 'load') expect(stdout).toBe('');
      else {
        expect(JSON.parse(stdout)).toMatchObject({
          text: '',
          tokens: 0,
          finishReason: 'abort',
          prefillTokensPerSecond: 0,
          decodeTokensPerSecond: 0,
          cacheBytes: 0,
        });
      }
    }
  });

  test.each(['--prompt -', '--chat'])(
    'is heard while standard input is awaited: %s',
    async (from) => {
      const argv = ['generate', MODEL, ...from.split(' ')];
      const { status, stdout, stderr } = await runInProcess(argv, {
        onStart: (interrupt) => setTimeout(interrupt, 300),
      });
      expect([status, stdout]).toEqual([130, '']);
      expect(stderr).toMatch(
        /^interrupted; start again with: mha2mla generate .* --(prompt -|chat)\n$/,
      );
    },
  );
});

test('what a model says cannot drive a terminal, and is left as it is elsewhere', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mha2mla-generate-'));
  await cp(MODEL, folder, { recursive: true });
  const path = join(folder, 'tokenizer.json');
  const tokenizer = JSON.parse(await readFile(path, 'utf8'));
  const { vocab, merges } = tokenizer.model;
  // Bytes are spelt as letters: Ġ is a space, ě an escape.
  vocab['Ġě[2Jcar'] = vocab.Ġcar;
  delete vocab.Ġcar;
  tokenizer.model.merges = merges.filter((pair: string[]) => !pair.join('').startsWith('Ġcar'));
  await writeFile(path, JSON.stringify(tokenizer));
  const argv = ['generate', folder, ...FIRST, '--prompt', 'what is in the middle center?'];
  const onTerminal = await runInProcess(argv, { isTTY: true });
  expect(onTerminal.stdout).toBe(' \\u{1b}[2Jcar\n');
  expect((await runInProcess(argv)).stdout).toBe(' \u001b[2Jcar\n');
  const { stdout } = await runInProcess([...argv, '--json'], { isTTY: true });
  expect(JSON.parse(stdout).text).toBe(' \u001b[2Jcar');
  expect(stdout).not.toContain('\u001b');
  await rm(folder, { recursive: true });
});
