import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliRun, runInProcess } from './testing/run-in-process';

const MODEL = fixture('models/llava');
const DATA = fixture('models/scenes/test.jsonl');
const INPUTS = fixture('fixtures/hf/llava/goldens/p0.safetensors');
let root: string;
const out = () => join(root, 'OUT');

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-cli-'));
  await mkdir(join(root, 'full'));
  await writeFile(join(root, 'full/thesis.txt'), 'mine');
});
afterAll(() => rm(root, { recursive: true }));

/** A failure: one line, nothing on standard output. */
function expectFailure({ status, stdout, stderr }: CliRun, code: number, message: string | RegExp) {
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^mha2mla: .*[.?]\n$/);
  expect(stdout).toBe('');
  expect(status).toBe(code);
}

const COMMANDS = ['inspect', 'convert', 'heal', 'eval', 'generate', 'trace', 'report'];

describe('help', () => {
  test.each(COMMANDS)('%s --help says what it does, with an example', async (command) => {
    const { status, stdout, stderr } = await runInProcess([command, '--help']);
    expect(stdout).toMatch(new RegExp(`^Usage: mha2mla ${command} \\[options\\] <(model|run)`));
    expect(stdout).toMatch(new RegExp(`Example:\n  mha2mla ${command} [A-Z]`));
    for (const option of ['--json', '--quiet', '--help']) expect(stdout).toContain(option);
    expect([status, stderr]).toEqual([0, '']);
  });

  test.each([['--help'], ['help']])('%s names the commands', async (word) => {
    const { status, stdout } = await runInProcess([word]);
    for (const command of COMMANDS) expect(stdout).toContain(`\n  ${command} `);
    expect(stdout).toContain('Example:\n  mha2mla ');
    expect(status).toBe(0);
  });

  test('without a command it is shown, as a usage error', async () => {
    const { status, stdout, stderr } = await runInProcess([]);
    expect(stderr).toContain('Usage: mha2mla');
    expect([status, stdout]).toEqual([2, '']);
  });
});

describe('a usage error is one line, with status 2', () => {
  const convert = ['convert', MODEL, 'OUT', '--rank', '8'];
  const heal = ['heal', 'a', 'OUT', '--data', 'b', '--teacher', 'c'];
  const ask = ['generate', MODEL, '--prompt', 'hi'];
  const trace = ['trace', MODEL, '--inputs', 'a', '--output', 'b'];
  test.each<[string[], string | RegExp]>([
    [['inspct', MODEL], "unknown command 'inspct' (Did you mean inspect?). See mha2mla --help"],
    [['inspect'], "missing required argument 'model'. See mha2mla inspect --help"],
    [['inspect', MODEL, 'more'], 'too many arguments'],
    [['inspect', MODEL, '--jsn'], "unknown option '--jsn' (Did you mean --json?)"],
    [['inspect', MODEL, '--\u001b[2J'], "unknown option '--\\u{1b}[2J'"],
    [['convert', MODEL], "missing required argument 'out'"],
    [
      [...convert, '--strategy', 'fast'],
      /'fast' is invalid. Allowed choices are mkl, norm2, greedy/,
    ],
    [[...convert, '--mkl-variant', 'x'], /'x' is invalid. Allowed choices are unrotate, zero/],
    [[...convert, '--mkl-split', 'x'], /'x' is invalid. Allowed choices are rows, keys/],
    [[...convert, '--vision-weight', '2'], /It must be a number from 0 to 1/],
    [[...convert, '--section-quotas', '4,-6'], /pairs of each section, as in 4,6,6, or proport/],
    [[...convert, '--section-quotas', '4,,6'], /pairs of each section/],
    [[...convert, '--save-ranks', 'ranks.txt'], /--save-ranks must end in .safetensors or .pth/],
    [[...convert, '--unrotate', 'no'], /'no' is invalid. Allowed choices are fitted, plain/],
    [[...convert, '--factor', 'all'], /'all' is invalid. Allowed choices are joint, split/],
    [[...convert, '--init', 'x'], /'x' is invalid. Allowed choices are weights, activations/],
    [[...convert, '--propagate', 'x'], /'x' is invalid. Allowed choices are original, rope/],
    [[...convert, '--dtype', 'f64'], /'f64' is invalid. Allowed choices are bf16, f16, f32/],
    [[...convert, '--backend', 'gpu'], /'gpu' is invalid. Allowed choices are auto, tensorflow/],
    [[...convert, '--kv-bits', '5'], /'5' is invalid. It must be one of 2, 3, 4, 8, 16/],
    [[...convert, '--rope-bits', 'vision=4'], /It must be one of 2, 3, 4, 8, 16/],
    [[...convert, '--kv-method', 'nf4'], /'nf4' is invalid. Allowed choices are affine, kivi/],
    [[...convert, '--residual-length', '-1'], /It must be an integer of at least 0/],
    [[...convert, '--rank', '0'], /'0' is invalid. It must be an integer of at least 1/],
    [[...convert, '--rank'], "option '--rank <n>' argument missing"],
    [[...convert, '--rope-dim', '-2'], /It must be an integer of at least 0/],
    [[...convert, '--uniform-start', 'x'], /It must be an integer of at least 0/],
    [[...convert, '--groups', '0'], /It must be an integer of at least 1/],
    [[...convert, '--samples', '0'], /It must be an integer of at least 1/],
    [[...convert, '--seed', '1.5'], /It must be an integer of at least 0/],
    [heal.slice(0, 5), "required option '--teacher <original>' not specified"],
    [['heal', 'a', 'b', '--teacher', 'c'], "required option '--data <data>' not specified"],
    [[...heal, '--limit', '0'], /It must be an integer of at least 1/],
    [[...heal, '--policy', '('], /It must be a regular expression/],
    [[...heal, '--r', '0'], /It must be an integer of at least 1/],
    [[...heal, '--lora-alpha', '0'], /It must be a number above 0/],
    [[...heal, '--steps', '0'], /It must be an integer of at least 1/],
    [[...heal, '--batch', '0'], /It must be an integer of at least 1/],
    [[...heal, '--lr', 'fast'], /It must be a number above 0/],
    [[...heal, '--kd', '-1'], /It must be a number of at least 0/],
    [[...heal, '--hidden', '-1'], /It must be a number of at least 0/],
    [['eval', MODEL], "missing required argument 'data'"],
    [['eval', MODEL, DATA, '--metric', 'vqa'], /'vqa' is invalid. Allowed choices are exact/],
    [['eval', MODEL, DATA, '--limit', '-1'], /It must be an integer of at least 1/],
    [['eval', MODEL, DATA, '--batch', '0'], /It must be an integer of at least 1/],
    [['eval', MODEL, DATA, '--max-tokens', '0'], /It must be an integer of at least 1/],
    [['generate', MODEL], 'expected --prompt or --chat, got neither'],
    [[...ask, '--max-tokens', '0'], /It must be an integer of at least 1/],
    [[...ask, '--temperature', 'Infinity'], /It must be a number of at least 0/],
    [[...ask, '--top-k', '0'], /It must be an integer of at least 1/],
    [[...ask, '--top-p', '0'], /It must be a number above 0 and at most 1/],
    [[...ask, '--min-p', '2'], /It must be a number from 0 to 1/],
    [[...ask, '--repetition-penalty', '0'], /It must be a number above 0/],
    [trace.slice(0, 4), "required option '--output <file>' not specified"],
    [[...trace, '--attention', 'fast'], /'fast' is invalid. Allowed choices are naive, absorbed/],
    [[...trace, '--generate', '-1'], /It must be an integer of at least 0/],
  ])('%j', async (argv, message) => {
    expectFailure(
      await runInProcess(argv),
      2,
      message instanceof RegExp ? message : literal(message),
    );
    expectFailure(await runInProcess([...argv, '--json']), 2, /./);
  });

  test.each<[string, string[], RegExp]>([
    ['no rank', ['--strategy', 'high', '--init', 'weights'], /rank must be an integer from 1/],
    ['a rank too wide', ['--rank', '99', '--strategy', 'high'], /rank must be .* got 99/],
    ['an odd rope dim', ['--rank', '8', '--rope-dim', '3'], /ropeDim must be even .* got 3/],
    [
      'groups that do not divide',
      ['--rank', '8', '--groups', '4'],
      /groups must be auto or divide .* got 4/,
    ],
    [
      'options of mkl elsewhere',
      ['--rank', '8', '--strategy', 'greedy', '--mkl-split', 'keys'],
      /mklSplit needs pairs chosen by mkl, got strategy greedy/,
    ],
    [
      'quotas without M-RoPE',
      ['--rank', '8', '--section-quotas', '1,1,2'],
      /sectionQuotas need a model with M-RoPE/,
    ],
    [
      'no calibration for norm2',
      ['--rank', '8', '--init', 'weights', '--strategy', 'norm2'],
      /--calibration DATA is needed by --strategy mkl, norm2 and greedy/,
    ],
    [
      'no calibration for mkl',
      ['--rank', '8', '--init', 'weights'],
      /--calibration DATA is needed/,
    ],
    [
      'no calibration for activations',
      ['--rank', '8', '--strategy', 'high'],
      /--calibration DATA is needed by .* got none. Give samples, or use --strategy high --init/,
    ],
  ])('convert with %s, told before anything is written', async (_, options, message) => {
    expectFailure(await runInProcess(['convert', MODEL, out(), ...options]), 2, message);
    expect(await readdir(root)).toEqual(['full']);
  });

  test('bits by modality where all tokens share a cache', async () => {
    const bits = ['--kv-bits', 'vision=4,text=8', '--json'];
    const message = /kvBits must be one number .* got vision=4, text=8/;
    expectFailure(await runInProcess(['eval', MODEL, DATA, ...bits]), 2, message);
    expectFailure(await runInProcess([...ask, ...bits]), 2, message);
  });

  test('heal with an original model, or a converted teacher', async () => {
    const options = ['--data', DATA, '--teacher', MODEL];
    const message =
      /MODEL must be a converted model and --teacher its original, got .* Convert first/;
    expectFailure(await runInProcess(['heal', MODEL, out(), ...options]), 2, message);
  });

  test('more tokens than the context holds', async () => {
    const argv = [...ask, '--max-tokens', '2048', '--json'];
    expectFailure(
      await runInProcess(argv),
      2,
      /must fit the model's 2048 positions, got \d+ \+ 2048 tokens. Lower --max-tokens/,
    );
  });
});

describe('any other error is one line, with status 1', () => {
  test.each<[string, (root: string) => string[], RegExp]>([
    ['a model that is missing', () => ['inspect', '/none/such'], /"\/none\/such" must exist/],
    ['a model that is a file', () => ['inspect', DATA], /test\.jsonl" must be a folder/],
    ['a folder without a model', (at) => ['inspect', `${at}/full`], /config\.json/],
    [
      'data that are missing',
      (at) => ['eval', MODEL, `${at}/none`],
      /none" must be a readable file/,
    ],
    [
      'a picture that is missing',
      () => ['generate', MODEL, '--prompt', 'x', '--image', '/none'],
      /"\/none" must be a readable file/,
    ],
    [
      'a picture that is none',
      () => ['generate', MODEL, '--prompt', 'x', '--image', DATA],
      /test\.jsonl" must be a whole PNG, JPEG or WebP/,
    ],
    [
      'inputs that are missing',
      () => ['trace', MODEL, '--inputs', '/none', '--output', 'x'],
      /"\/none" must be a readable file/,
    ],
    ['inputs that are none', () => ['trace', MODEL, '--inputs', DATA, '--output', 'x'], /header/],
    [
      'inputs of another model',
      (at) => ['trace', MODEL, '--inputs', INPUTS, '--output', `${at}/t`],
      /must be \[pictures, 3, 84, 84\]/,
    ],
    [
      'an output in no folder',
      (at) => ['trace', MODEL, '--inputs', INPUTS, '--output', `${at}/none/t`],
      /expected .*none to be there/,
    ],
    [
      'an output that is a folder',
      (at) => ['trace', MODEL, '--inputs', INPUTS, '--output', `${at}/full`],
      /must name a file, got the folder/,
    ],
    [
      'a rank file that is none',
      () => ['convert', MODEL, 'OUT', '--rank', '8', '--ranks', DATA],
      /./,
    ],
  ])('%s', async (_, argv, message) => {
    expectFailure(await runInProcess(argv(root)), 1, message);
    expectFailure(await runInProcess([...argv(root), '--json']), 1, message);
  });

  test.each(['convert', 'heal'])(
    '%s: an OUT that is not empty, before anything loads',
    async (command) => {
      const full = join(root, 'full');
      const options = command === 'heal' ? ['--data', '/none', '--teacher', '/none'] : [];
      const run = await runInProcess([command, '/none', full, ...options, '--resume']);
      expectFailure(
        run,
        1,
        /full" must be absent or an empty folder, got 1 entries. Choose another/,
      );
      expect(await readdir(full)).toEqual(['thesis.txt']);
    },
  );
});

test('failures leave nothing in memory', () => {
  expect(tf.engine().memory().numTensors).toBe(0);
});

function literal(text: string): RegExp {
  return new RegExp(text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
}
