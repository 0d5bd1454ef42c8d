import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openModelFolder } from '../../node/open-model';
import { folderBytes } from '../testing/folder-bytes';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('models/llava');
const DATA = fixture('models/scenes/heal.jsonl');
let root: string;
const at = (name: string) => join(root, name);
const options = () => [
  ...['--data', DATA, '--teacher', MODEL, '--limit', '6', '--batch', '1', '--steps', '2'],
  ...['--r', '2'],
];
const heal = (name: string, ...argv: string[]) =>
  runInProcess(['heal', at('converted'), at(name), ...options(), '--quiet', ...argv]);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-heal-'));
  const weights = ['--rank', '8', '--strategy', 'high', '--init', 'weights', '--quiet'];
  await runInProcess(['convert', MODEL, at('converted'), ...weights]);
});
afterAll(async () => {
  await rm(root, { recursive: true });
  expect(tf.memory().numTensors).toBe(0);
});

test('--json gives one document with the fields that scripts rely on, and OUT is a model', async () => {
  const { status, stdout, stderr } = await heal('whole', '--json');
  expect([status, stderr]).toEqual([0, '']);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({
    steps: 2,
    trainableShare: expect.any(Number),
    loss: { first: expect.any(Number), last: expect.any(Number) },
  });
  expect(report.trainableShare).toBeGreaterThan(0);
  expect(report.trainableShare).toBeLessThan(0.1);
  const files = await readdir(at('whole'));
  expect(files.sort()).toEqual(
    [...new Set([...(await readdir(at('converted'))), 'heal.json'])].sort(),
  );
  const { loss } = JSON.parse(await readFile(join(at('whole'), 'heal.json'), 'utf8'));
  expect(loss).toEqual(report.loss);
  const { converted } = JSON.parse((await runInProcess(['inspect', at('whole'), '--json'])).stdout);
  expect(converted).toBe(true);
});

test('scales of latents are fitted anew to what was healed', async () => {
  const fitted = ['--rank', '8', '--calibration', DATA, '--samples', '4', '--quiet'];
  const cache = ['--kv-method', 'bands', '--kv-bits', '4'];
  const converted = await runInProcess(['convert', MODEL, at('fitted'), ...fitted, ...cache]);
  expect([converted.status, converted.stderr]).toEqual([0, '']);
  const run = await runInProcess(['heal', at('fitted'), at('refitted'), ...options(), '--quiet']);
  expect([run.status, run.stderr]).toEqual([0, '']);
  const scales = async (name: string) => {
    const { source, close } = await openModelFolder(at(name));
    const [layer] = source.cache.latentSpecs!;
    await close();
    return [...layer!.vision!.scales];
  };
  const [before, after] = [await scales('fitted'), await scales('refitted')];
  expect(after).toHaveLength(before.length);
  expect(after).not.toEqual(before);
});

test('--dry-run tells what it takes, and writes nothing', async () => {
  const { stdout } = await heal('dry', '--dry-run', '--json');
  const found = JSON.parse(stdout);
  expect(found).toMatchObject({ dryRun: true, steps: 2 });
  const { trainableShare } = JSON.parse(await readFile(join(at('whole'), 'heal.json'), 'utf8'));
  expect(found.trainableShare).toBe(trainableShare);
  expect(found.seconds.total).toBeGreaterThan(found.seconds.update);
  expect(found.diskBytes.output).toBeGreaterThan(1e6);
  expect((await readdir(root)).filter((name) => name.startsWith('dry'))).toEqual([]);
  const refused = await heal('dry', '--dry-run', '--recipe', 'layerwise');
  expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining('one-stage')]);
});

test("the paper's two stages: partial RoPE, healed, then low rank, healed", async () => {
  const weights = ['--init', 'weights', '--quiet'];
  const run = (...argv: string[]) => runInProcess(argv);
  const pairs = async (name: string) =>
    JSON.parse(await readFile(join(at(name), 'config.json'), 'utf8')).mha2mla.rope_pairs;
  const first = ['--factor', 'none', '--strategy', 'low', '--rope-dim', '8', '--quiet'];
  expect((await run('convert', MODEL, at('partial'), ...first)).status).toBe(0);
  const steps = [...options(), '--quiet'];
  expect((await run('heal', at('partial'), at('partial healed'), ...steps)).status).toBe(0);
  const second = ['convert', at('partial healed'), at('latent'), '--rank', '8', ...weights];
  expect((await run(...second)).status).toBe(0);
  expect(await pairs('latent')).toEqual(await pairs('partial'));
  expect((await run('heal', at('latent'), at('latent healed'), ...steps)).status).toBe(0);
  expect(await readdir(at('latent healed'))).toContain('heal.json');

  const again = (model: string, ...argv: string[]) =>
    run('convert', at(model), at('never'), '--rank', '8', ...weights, ...argv);
  const chosen = await again('partial', '--strategy', 'low');
  expect([chosen.status, chosen.stderr]).toEqual([2, expect.stringContaining('strategy=low')]);
  const latent = await again('latent');
  expect([latent.status, latent.stderr]).toEqual([2, expect.stringContaining('with latents')]);
  const deep = await run('inspect', at('partial'), '--deep', '--data', DATA);
  expect([deep.status, deep.stderr]).toEqual([2, expect.stringContaining('a converted one')]);
});

test('--recipe layerwise heals a layer after another', async () => {
  const { status, stdout } = await heal('layered', '--recipe', 'layerwise', '--json');
  expect(status).toBe(0);
  expect(JSON.parse(stdout).layers).toHaveLength(4);
  const files = await readdir(at('layered'));
  expect(files.filter((name) => name.startsWith('healed-'))).toEqual([]);
  expect(await readFile(join(at('layered'), 'README.md'), 'utf8')).toContain('layer by layer');
  const other = await heal('never', '--engine', 'threads');
  expect([other.status, other.stderr]).toEqual([
    ...[2, expect.stringContaining('--recipe one-stage works on one machine, got --engine')],
  ]);
  vi.stubEnv('MHA2MLA_ENGINE', 'threads');
  const alone = await heal('never', '--recipe', 'progressive', '--rank', '4', '--no-merge');
  vi.unstubAllEnvs();
  expect([alone.status, alone.stderr.split('\n')]).toEqual([
    2,
    [
      'MHA2MLA_ENGINE is not used: --recipe progressive works on one machine.',
      expect.stringContaining('merges what it trains, got --no-merge'),
      '',
    ],
  ]);
  const idle = await heal('idle', '--recipe', 'layerwise', '--kd', '1');
  expect([idle.status, idle.stderr]).toEqual([2, expect.stringContaining('no use for kd')]);
});

test('--recipe progressive writes a model of the rank that is asked for', async () => {
  const progressive = ['--recipe', 'progressive', '--rank', '4', '--steps', '3'];
  const { status, stdout } = await heal('narrow', ...progressive, '--json');
  expect(status).toBe(0);
  expect(JSON.parse(stdout).stages.map(({ rank }: { rank: number }) => rank)).toEqual([8, 6, 4]);
  const files = await readdir(at('narrow'));
  expect(files.filter((name) => /^heal(ed)?-|^report/.test(name))).toEqual([]);
  const inspect = async (name: string) =>
    JSON.parse((await runInProcess(['inspect', at(name), '--json'])).stdout).cacheBytesPerToken;
  const { model } = await inspect('narrow');
  expect(model).toBeLessThan((await inspect('converted')).model);
  for (const [argv, said] of [
    [['--workers', '2'], '--workers'],
    [['--no-merge'], '--no-merge'],
    [['--dry-run'], 'one-stage'],
  ] as const) {
    const refused = await heal('never', ...progressive, ...argv);
    expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining(said)]);
  }
  const alone = await heal('never', '--rank', '4');
  expect([alone.status, alone.stderr]).toEqual([2, expect.stringContaining('progressive')]);
  const wide = await heal('never', ...progressive, '--rank', '9');
  expect([wide.status, wide.stderr]).toEqual([1, expect.stringContaining('got 9')]);
});

test('for people there are loss lines and the trainable share', async () => {
  const { stdout } = await heal('lines');
  expect(stdout).toMatch(
    /^ {2}update 1: loss [\d.]+\n {2}update 2: loss [\d.]+\n2 updates of [\d.]+ % of the weights, loss [\d.]+ -> [\d.]+\nmerged and rounded as it is stored, which moves a logit by [\d.e-]+ at most\n$/,
  );
});

test('a run that goes on gives the bytes of one that was not stopped', async () => {
  const argv = ['heal', at('converted'), at('resumed'), ...options()];
  const { status, stdout, stderr } = await runInProcess(argv, {
    isTTY: true,
    onText: ({ stderr: text, interrupt }) => {
      if (/heal \S+ [1-9]/.test(text)) interrupt();
    },
  });
  expect([status, stdout]).toEqual([130, '']);
  expect(stderr.endsWith(`interrupted; go on with: mha2mla ${argv.join(' ')} --resume\n`)).toBe(
    true,
  );
  expect(await readdir(root)).toContain('resumed.partial');
  expect(await readdir(at('resumed.partial'))).toContain('heal-state.safetensors');

  for (const [option, value] of [
    ['--steps', '3'],
    ['--lr', '1e-3'],
    ['--seed', '1'],
    ['--limit', '5'],
    ['--data', fixture('models/scenes/test.jsonl')],
  ] as const) {
    const other = await heal('resumed', '--resume', option, value);
    expect([other.status, other.stdout]).toEqual([1, '']);
    expect(other.stderr).toContain(`"${option}" (was`);
  }

  const resumed = await heal('resumed', '--resume', '--json');
  expect(JSON.parse(resumed.stdout).steps).toBe(2);
  expect(await folderBytes(at('resumed'))).toEqual(await folderBytes(at('whole')));
});

test('--checkpoint gives the same weights, and may be chosen when a run goes on', async () => {
  const stop = ['heal', at('converted'), at('checkpointed'), ...options()];
  await runInProcess(stop, {
    isTTY: true,
    onText: ({ stderr: text, interrupt }) => {
      if (/heal \S+ [1-9]/.test(text)) interrupt();
    },
  });
  expect(await readdir(root)).toContain('checkpointed.partial');
  expect((await heal('checkpointed', '--resume', '--checkpoint')).status).toBe(0);
  const { 'heal.json': own, ...files } = await folderBytes(at('checkpointed'));
  const { 'heal.json': other, ...expected } = await folderBytes(at('whole'));
  expect(files).toEqual(expected);
  const { options: used } = JSON.parse(
    await readFile(join(at('checkpointed'), 'heal.json'), 'utf8'),
  );
  expect(used.checkpoint).toBe(true);
});

test('a run that diverges stops, and OUT.partial/heal.json says so', async () => {
  const { status, stdout, stderr } = await heal('diverged', '--lr', '1e6', '--steps', '20');
  expect([status, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(
    /must stay finite, got a loss of .* Start anew with a lower learning rate/,
  );
  expect(await readdir(root)).not.toContain('diverged');
  const text = await readFile(join(at('diverged.partial'), 'heal.json'), 'utf8');
  const { stopped, steps, losses } = JSON.parse(text);
  expect(stderr).toContain(stopped);
  expect(losses).toHaveLength(steps);
  expect(losses.every(Number.isFinite)).toBe(true);
});

test('healing a model with itself, or with what was converted, is refused', async () => {
  const twice = ['heal', at('converted'), at('X'), '--data', DATA, '--teacher', at('converted')];
  const { status, stdout, stderr } = await runInProcess(twice);
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/MODEL must be a converted model and --teacher its original/);
  expect(await readdir(root)).not.toContain('X.partial');
});
