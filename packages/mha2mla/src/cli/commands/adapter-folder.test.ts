/** What `heal --no-merge` writes acts, by `--adapter-folder`, as the model that `heal` writes. */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectClose, fixture, readSafetensors } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('models/llava');
const DATA = fixture('models/scenes/heal.jsonl');
let root: string;
const at = (name: string) => join(root, name);
const run = (...argv: string[]) => runInProcess([...argv, '--quiet']);
const heal = (name: string, ...argv: string[]) =>
  run(
    ...['heal', at('converted'), at(name), '--data', DATA, '--teacher', MODEL, '--limit', '6'],
    ...['--batch', '1', '--steps', '2', '--r', '2', ...argv],
  );
const json = async (...path: string[]) => JSON.parse(await readFile(join(root, ...path), 'utf8'));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-adapter-'));
  const weights = ['--strategy', 'high', '--init', 'weights', '--dtype', 'f32'];
  await run('convert', MODEL, at('converted'), '--rank', '8', ...weights);
  await run('convert', MODEL, at('narrower'), '--rank', '4', ...weights);
  expect((await heal('merged')).status).toBe(0);
  expect((await heal('adapter', '--no-merge')).status).toBe(0);
});
afterAll(async () => {
  await rm(root, { recursive: true });
  expect(tf.memory().numTensors).toBe(0);
});

test('an adapter folder has the files of PEFT, and no model', async () => {
  expect((await readdir(at('adapter'))).sort()).toEqual([
    ...['README.md', 'adapter_config.json', 'adapter_model.safetensors', 'cost.json', 'heal.json'],
  ]);
  const config = await json('adapter', 'adapter_config.json');
  expect(config).toMatchObject({
    peft_type: 'LORA',
    r: 2,
    base_model_name_or_path: at('converted'),
  });
  expect(config.target_modules).toContain(
    'language_model.model.layers.0.self_attn.kv_proj_img.down_kv',
  );
  const { losses, mergeLogitChange } = await json('merged', 'heal.json');
  expect((await json('adapter', 'heal.json')).losses).toEqual(losses);
  // float32 sums in another order.
  expect(mergeLogitChange).toBeGreaterThan(0);
  expect(mergeLogitChange).toBeLessThan(1e-3);
});

test("trace gives PEFT's logits", async () => {
  const folder = fixture('fixtures/hf/llava');
  const { status } = await run(
    ...['trace', join(folder, 'checkpoint'), '--inputs', join(folder, 'goldens/p0.safetensors')],
    ...['--adapter-folder', fixture('fixtures/peft/llava/dora'), '--output', at('trace')],
  );
  expect(status).toBe(0);
  const logits = readSafetensors(at('trace')).get('logits')!.data as Float32Array;
  const golden = readSafetensors(fixture('fixtures/peft/llava/outputs.safetensors'));
  const expected = golden.get('dora.logits')!.data as Float32Array;
  // float32 sums in another order: fixtures/peft/README.md.
  expectClose(logits.slice(-expected.length), expected, { abs: 1e-4 });
});

test('eval and generate answer as the merged model does', async () => {
  const scored = async (model: string, ...argv: string[]) => {
    const questions = ['--limit', '8', '--max-tokens', '4', '--json'];
    const { stdout } = await run('eval', model, DATA, ...questions, ...argv);
    return JSON.parse(stdout);
  };
  const adapter = ['--adapter-folder', at('adapter')];
  const [own, merged] = [await scored(at('converted'), ...adapter), await scored(at('merged'))];
  expect(own.answers).toEqual(merged.answers);
  expect(own.nll).toBeCloseTo(merged.nll, 4);
  expect(own.nll).not.toBe((await scored(at('converted'))).nll);

  const asked = ['--prompt', 'is there a camera?', '--max-tokens', '3', '--json'];
  const [said, expected] = [
    await run('generate', at('converted'), ...asked, ...adapter),
    await run('generate', at('merged'), ...asked),
  ].map(({ stdout }) => JSON.parse(stdout).text);
  expect(said).toBe(expected);
});

describe('what does not fit is refused in words', () => {
  const evaluate = (model: string, folder: string) =>
    run('eval', model, DATA, '--limit', '1', '--adapter-folder', folder);

  test.each([
    ['the original', () => MODEL, /weights of the model's modules.*made for ".*converted"/],
    ['another conversion', () => at('narrower'), /must be \[\d+,2\], got \[\d+,2\].*made for/],
  ])('on %s', async (_, model, message) => {
    const { status, stdout, stderr } = await evaluate(model(), at('adapter'));
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(message);
  });

  test('a folder that is not there, or holds a model', async () => {
    const lost = await evaluate(at('converted'), at('lost'));
    expect([lost.status, lost.stderr]).toEqual([1, expect.stringContaining('lost')]);
    const model = await evaluate(at('converted'), at('merged'));
    expect([model.status, model.stderr]).toEqual([
      1,
      expect.stringContaining('adapter_config.json'),
    ]);
  });

  test('weights that are no numbers', async () => {
    await cp(at('adapter'), at('spoilt'), { recursive: true });
    const file = join(at('spoilt'), 'adapter_model.safetensors');
    const bytes = await readFile(file);
    bytes.fill(0xff, bytes.length - 4);
    await writeFile(file, bytes);
    const { status, stderr } = await evaluate(at('converted'), at('spoilt'));
    expect([status, stderr]).toEqual([1, expect.stringContaining('finite')]);
  });

  test('to keep apart what PEFT cannot store', async () => {
    const maps = await heal('never', '--no-merge', '--adapter', 'none');
    expect([maps.status, maps.stderr]).toEqual([1, expect.stringContaining('must be all that is')]);
    const layered = await heal('never', '--no-merge', '--recipe', 'layerwise');
    expect([layered.status, layered.stderr]).toEqual([2, expect.stringContaining('--no-merge')]);
    expect((await readdir(root)).filter((name) => name.startsWith('never'))).toEqual([]);
  });
});
