import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { folderBytes } from '../testing/folder-bytes';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('models/llava');
const DATA = fixture('models/scenes/test.jsonl');
const CALIBRATION = ['--calibration', fixture('models/scenes/calibration.jsonl'), '--samples', '8'];
let root: string;
const at = (name: string) => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-convert-'));
});
afterAll(async () => {
  await rm(root, { recursive: true });
  expect(tf.memory().numTensors).toBe(0);
});

const convert = (name: string, ...argv: string[]) =>
  runInProcess(['convert', MODEL, at(name), ...argv, '--quiet']);

/** Run until a bar of `phase` has come further than nothing. */
const stoppedAt = (phase: string, ...argv: string[]) =>
  runInProcess(['convert', MODEL, ...argv], {
    isTTY: true,
    onText: ({ stderr, interrupt }) => {
      if (new RegExp(`${phase} \\S+ [1-9]`).test(stderr)) interrupt();
    },
  });

test('--json gives one document with the fields that scripts rely on, and OUT is a model', async () => {
  const argv = ['--rank', '12', ...CALIBRATION, '--kv-bits', 'vision=4,text=8', '--json'];
  const { status, stdout, stderr } = await convert('A', ...argv);
  expect([status, stderr]).toEqual([0, '']);
  const report = JSON.parse(stdout);
  expect(report.layers).toHaveLength(4);
  for (const [i, { layer, relativeError }] of report.layers.entries()) {
    expect(layer).toBe(i);
    for (const error of [relativeError.vision, relativeError.text]) {
      expect(error).toBeGreaterThanOrEqual(0);
      expect(error).toBeLessThan(0.1);
    }
  }
  expect(report.cacheBytesPerToken.original).toBe(3072);
  expect(await readdir(root)).toEqual(['A']);
  const files = await readdir(at('A'));
  for (const name of ['config.json', 'report.json', 'README.md', 'tokenizer.json']) {
    expect(files).toContain(name);
  }
  expect(files.filter((name) => name.startsWith('.'))).toEqual([]);
});

test('the cache setting that is stored is used, unless another is given', async () => {
  const bytesOf = async (...argv: string[]) =>
    JSON.parse((await runInProcess([...argv, '--json'])).stdout).cacheBytesPerToken;
  // Latents of 72, rotary keys of 6 heads by 8 in 8 bits; a scale and a zero point for each 32.
  const vision = 72 / 2 + 3 * 4 + (48 + 2 * 4);
  const text = 72 + 3 * 4 + (48 + 2 * 4);
  const stored = (4 * (vision + text)) / 2;
  expect((await bytesOf('inspect', at('A'))).model).toBe(stored);
  const evaluate = ['eval', at('A'), DATA, '--limit', '1'];
  expect(await bytesOf(...evaluate)).toBe(stored);
  expect(await bytesOf(...evaluate, '--kv-bits', '16', '--rope-bits', '16')).toBe(4 * 2 * 120);
});

test('latents that a conversion fitted keep their bits, unless another method is given', async () => {
  const fitted = ['--rank', '12', '--kv-method', 'bands', '--kv-bits', '3'];
  const { status, stdout } = await convert('F', ...fitted, ...CALIBRATION, '--json');
  expect(status).toBe(0);
  // Latents of 72 in at most 7 words, without scales, and rotary keys as above.
  const most = 4 * (28 + 48 + 2 * 4);
  const stored = JSON.parse(stdout).cacheBytesPerToken.converted;
  expect(stored).toBeLessThanOrEqual(most);
  const evaluate = (...flags: string[]) =>
    runInProcess(['eval', at('F'), DATA, '--limit', '8', '--json', ...flags]);
  const found = JSON.parse((await evaluate()).stdout);
  expect(found.cacheBytesPerToken).toBe(stored);
  const affine = JSON.parse((await evaluate('--kv-method', 'affine', '--kv-bits', '8')).stdout);
  expect(affine.cacheBytesPerToken).toBe(4 * (72 + 3 * 4 + (48 + 2 * 4)));
  expect(found.nll).toBeLessThan(affine.nll + 0.2);
  const other = await evaluate('--kv-bits', '4');
  expect([other.status, other.stderr]).toEqual([
    2,
    expect.stringContaining('latents were fitted by --kv-method bands to their own bits'),
  ]);
  const { status: bare, stderr } = await runInProcess(['eval', MODEL, DATA, ...fitted.slice(2)]);
  expect([bare, stderr]).toEqual([2, expect.stringContaining('Convert with --kv-method bands')]);
  await rm(at('F'), { recursive: true });
});

test('--kv-budget is kept to in what is written, whatever the bits, and the model answers', async () => {
  const budget = ['--kv-budget', '0.125', '--allocation', 'measured', '--kv-bits', '8'];
  const { status, stdout } = await convert('budget', ...budget, ...CALIBRATION, '--json');
  expect(status).toBe(0);
  const { cacheBytesPerToken, options } = JSON.parse(stdout);
  expect(options).toMatchObject({ kvBudget: 0.125, allocation: 'measured' });
  const evaluate = ['eval', at('budget'), DATA, '--limit', '2', '--json'];
  const found = JSON.parse((await runInProcess(evaluate)).stdout);
  expect(found.cacheBytesPerToken).toBe(cacheBytesPerToken.converted);
  expect(found.nll).toBeGreaterThan(0);
  const share = cacheBytesPerToken.converted / cacheBytesPerToken.original;
  expect(share).toBeLessThanOrEqual(0.125);
  // A dim more of one latent, its scales included, would not have fitted.
  expect(share).toBeGreaterThan(0.12);
  await rm(at('budget'), { recursive: true });
});

test('--spend auto tells what it found and the flags that make the same, and stores it', async () => {
  const budget = ['--kv-budget', '0.0625', '--spend', 'auto', '--rope-dim', '4'];
  const { status, stdout } = await convert('auto', ...budget, ...CALIBRATION);
  expect(status).toBe(0);
  const [head, ...lines] = stdout.split('\n');
  expect(head).toMatch(/^ +kv bits +rope bits +rope dims +rank +bytes +predicted +nll$/);
  const { spending, cacheBytesPerToken } = JSON.parse(
    await readFile(at('auto/report.json'), 'utf8'),
  );
  const { kvBits, ropeBits, kvBudget } = spending.candidates[spending.chosen];
  expect(lines.findIndex((line) => line.startsWith('> '))).toBe(spending.chosen);
  expect(stdout).toContain(
    `--kv-budget ${kvBudget} --allocation uniform --rope-dim 4 --kv-bits ${kvBits} --rope-bits ${ropeBits}\n`,
  );
  const asked = spending.candidates.filter(({ nll }: { nll?: number }) => nll !== undefined);
  expect(asked).toHaveLength(3);
  expect(asked[0].nll).toBeGreaterThanOrEqual(spending.candidates[spending.chosen].nll);
  const { mha2mla } = JSON.parse(await readFile(at('auto/config.json'), 'utf8'));
  expect(mha2mla.cache).toMatchObject({ kv_bits: kvBits, rope_bits: ropeBits });
  const share = cacheBytesPerToken.converted / cacheBytesPerToken.original;
  expect(share).toBeLessThanOrEqual(0.0625);
  await rm(at('auto'), { recursive: true });
}, 240_000);

test.each([
  [['--kv-budget', '0.25', '--spend', 'auto', '--kv-bits', '4'], /needs no kvBits/],
  [['--kv-budget', '0.25', '--spend', 'auto', '--dry-run'], /--dry-run needs bits that are known/],
  [
    ['--kv-budget', '0.25', '--rank', '8'],
    /kvBudget chooses the ranks of latents, got rank=8, too/,
  ],
  [['--kv-budget', '0.01'], /kvBudget must leave a rank .* got 0.01. The smallest .* is 0.0\d+/],
  [['--kv-budget', '1.5'], /must be a number above 0 and at most 1/],
])('%o is a usage error', async (argv, message) => {
  const { status, stderr } = await convert('refused', ...argv, ...CALIBRATION);
  expect(status).toBe(2);
  expect(stderr).toMatch(message);
});

test.each([['--no-decouple'], ['--factor', 'none']])(
  'bits by modality with %s %s are refused, since no run could use them',
  async (...sharing) => {
    const weights = ['--strategy', 'high', '--init', 'weights'];
    const rank = sharing.includes('none') ? [] : ['--rank', '8'];
    const bits = ['--kv-bits', 'vision=4,text=8'];
    const { status, stderr } = await convert('shared', ...weights, ...rank, ...sharing, ...bits);
    expect(status).toBe(2);
    expect(stderr).toMatch(/kvBits must be one number .* got vision=4, text=8\.\n$/);
    expect(await readdir(root)).toEqual(['A']);
  },
);

test('a run that fails before its first layer leaves nothing in the way of the next', async () => {
  const none = join(root, 'calibration.safetensors');
  await copyFile(fixture('fixtures/hf/llava/mha2mla/calibration.safetensors'), none);
  // Of a model with other pictures.
  const { status, stderr } = await convert('failed', '--rank', '8', '--calibration', none);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^mha2mla: .*\n$/);
  await rm(none);
  expect(await readdir(root)).toEqual(['A']);
});

test('for people it is a line a layer, and the bytes of a token', async () => {
  const { stdout } = await convert('B', '--rank', '16', '--strategy', 'high', '--init', 'weights');
  expect(stdout).toMatch(
    /^layer 0 .*\nlayer 1 .*\nlayer 2 .*\nlayer 3 .*\ncache 3072 -> 1152 bytes/,
  );
});

test.each(['calibration', 'convert'])(
  'interrupted in %s, it says how to go on, and OUT does not appear',
  async (phase) => {
    const out = at(`stopped in ${phase}`);
    const argv = [out, '--rank', '12', ...CALIBRATION];
    const { status, stdout, stderr } = await stoppedAt(phase, ...argv);
    expect([status, stdout]).toEqual([130, '']);
    const again = phase === 'convert' ? 'go on with' : 'start again with';
    const line = `interrupted; ${again}: mha2mla convert ${MODEL} '${out}' --rank 12 ${CALIBRATION.join(' ')}`;
    expect(stderr.endsWith(`${line}${phase === 'convert' ? ' --resume' : ''}\n`)).toBe(true);
    const made = (await readdir(root)).filter((name) => name.startsWith('stopped in'));
    expect(made).toEqual(phase === 'convert' ? ['stopped in convert.partial'] : []);
  },
);

test('a run that goes on gives the bytes of one that was not stopped', async () => {
  const options = ['--rank', '12', ...CALIBRATION];
  await convert('whole', ...options);
  await stoppedAt('convert', at('resumed'), ...options);
  expect(await readdir(root)).toContain('resumed.partial');

  const blocked = await convert('resumed', ...options);
  expect([blocked.status, blocked.stdout]).toEqual([1, '']);
  expect(blocked.stderr).toMatch(/unfinished run. Continue it with .*resume, or delete it/);

  for (const [option, value] of [
    ['--rank', '10'],
    ['--samples', '9'],
    ['--rope-dim', '4'],
    ['--mkl-split', 'keys'],
    ['--vision-weight', '1'],
    ['--kv-bits', '4'],
    ['--no-decouple', ''],
  ] as const) {
    const other = value === '' ? [option] : [option, value];
    const { status, stdout, stderr } = await convert('resumed', ...options, ...other, '--resume');
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toContain(option === '--no-decouple' ? '"--decouple"' : `"${option}" (was`);
    expect(stderr).toMatch(/^mha2mla: .*must be resumed as it was started.*\n$/);
  }
  const record = at('resumed.partial/.mha2mla-resume.json');
  const text = await readFile(record, 'utf8');
  await writeFile(record, text.replace('"mha2mla-sources+', '"mha2mla-0.0.1+'));
  const { stderr } = await convert('resumed', ...options, '--resume');
  expect(stderr).toMatch(
    /another "version" \(was ".*mha2mla-0\.0\.1\+tfjs-.*is ".*mha2mla-sources\+tfjs-.* same options, inputs and version, or delete/,
  );
  await writeFile(record, text);

  expect((await convert('resumed', ...options, '--resume')).status).toBe(0);
  expect(await folderBytes(at('resumed'))).toEqual(await folderBytes(at('whole')));
});

test('pre-tokenised samples and a given rank file are read', async () => {
  const family = 'fixtures/hf/llava';
  const { status, stdout, stderr } = await runInProcess([
    ...['convert', fixture(`${family}/checkpoint`), at('fixture'), '--quiet', '--json'],
    ...['--rank', '16', '--rope-dim', '16', '--propagate', 'rope', '--samples', '4'],
    ...['--ranks', fixture(`${family}/mha2mla/ranks.pth`)],
    ...['--calibration', fixture(`${family}/mha2mla/calibration.safetensors`)],
  ]);
  expect([status, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout).layers).toHaveLength(4);
  const config = JSON.parse(await readFile(join(at('fixture'), 'config.json'), 'utf8'));
  expect(config.mha2mla).toBeDefined();
});

test.each(['pth', 'safetensors'])(
  'quotas hold in each section of M-RoPE, and the ranks that are saved as .%s choose alike',
  async (form) => {
    const family = 'fixtures/hf/qwen2_5_vl';
    const run = async (name: string, ...argv: string[]) => {
      const shared = ['--rope-dim', '16', '--factor', 'none', '--unrotate', 'plain'];
      const checkpoint = fixture(`${family}/checkpoint`);
      const all = ['convert', checkpoint, at(name), '--quiet', '--json', ...shared, ...argv];
      const { status, stdout, stderr } = await runInProcess(all);
      expect([status, stderr]).toEqual([0, '']);
      return JSON.parse(stdout);
    };
    const file = at(`ranks.${form}`);
    const scored = await run(
      ...[`scored ${form}`, '--strategy', 'norm2', '--section-quotas', '1,3,4'],
      ...['--calibration', fixture(`${family}/mha2mla/calibration.safetensors`), '--samples', '2'],
      ...['--save-ranks', file],
    );
    const [t, h, w] = scored.mropeSection;
    for (const { ropePairs } of scored.layers) {
      for (const pairs of ropePairs as number[][]) {
        const ends = [t, t + h, t + h + w];
        expect(ends.map((end) => pairs.filter((pair) => pair < end).length)).toEqual([1, 4, 8]);
      }
    }
    const given = await run(`given ${form}`, '--ranks', file);
    const pairsOf = ({ layers }: typeof scored) =>
      layers.map(({ ropePairs }: { ropePairs: number[][] }) => ropePairs);
    expect(pairsOf(given)).toEqual(pairsOf(scored));
    await rm(file);
  },
);
