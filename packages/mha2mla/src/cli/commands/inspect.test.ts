import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { convertModel } from '../../convert/convert-model';
import { openTinyLlava, tinyLlava } from '../../convert/tiny-llava';
import { memoryOutput } from '../../output/result-output';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('models/llava');
let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-inspect-'));
});
afterAll(() => rm(root, { recursive: true }));

test('--json gives one document with the fields that scripts rely on', async () => {
  const { status, stdout, stderr } = await runInProcess(['inspect', MODEL, '--json']);
  expect(JSON.parse(stdout)).toEqual({
    family: 'llava',
    converted: false,
    parameters: 2_394_432,
    layers: 4,
    hiddenSize: 192,
    attentionHeads: 6,
    keyValueHeads: 6,
    headDim: 32,
    ropeDim: 32,
    // 4 layers, 6 heads, keys and values of 32, 2 bytes each.
    cacheBytesPerToken: { model: 3072, original: 3072, mhaEquivalent: 3072 },
    missing: [],
    unexpected: [],
  });
  expect([status, stderr]).toEqual([0, '']);
});

test('fewer KV heads cost less than a head for each query head', async () => {
  const folder = join(root, 'grouped');
  await writeFolder(folder, await tinyLlava({ kvHeads: 2 }));
  const { stdout } = await runInProcess(['inspect', folder, '--json']);
  const { keyValueHeads, cacheBytesPerToken } = JSON.parse(stdout);
  expect(keyValueHeads).toBe(2);
  expect(cacheBytesPerToken).toEqual({ model: 128, original: 128, mhaEquivalent: 256 });
});

test.each([
  [{ vision: [3, 6], text: [5, 1] }, undefined, 'latents of 2 to 12 in 1 group\n'],
  [{ vision: [4, 4], text: [4, 4] }, 8, 'a latent of 8 in 1 group\n'],
])('latents %o are told by modality and layer', async (latentRanks, latentWidth, line) => {
  const folder = join(root, `latents-${latentWidth}`);
  const output = memoryOutput();
  const run = { strategy: 'low', init: 'weights', ropeDim: 2, latentRanks } as const;
  await convertModel(await openTinyLlava({ kvHeads: 2 }), output, run);
  await writeFolder(folder, output.files);
  const { stdout } = await runInProcess(['inspect', folder, '--json']);
  const widths = (ranks: number[]) => ranks.map((rank) => 2 * rank);
  const latentWidths = { vision: widths(latentRanks.vision), text: widths(latentRanks.text) };
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({ ropeDim: 2, latentWidths, missing: [], unexpected: [] });
  expect(report.latentWidth).toBe(latentWidth);
  expect((await runInProcess(['inspect', folder])).stdout).toContain(line);
});

test('for people it is a few lines on standard output', async () => {
  const { status, stdout, stderr } = await runInProcess(['inspect', MODEL]);
  expect(stdout).toMatch(/^llava, original, 2394432 parameters\n/);
  expect(stdout).toContain('cache 3072 bytes a token');
  expect(stdout).toMatch(/missing tensors: none\nunexpected tensors: none\n$/);
  expect([status, stderr]).toEqual([0, '']);
});

test('the cache is counted in the bits that are asked for, layer by layer', async () => {
  const bytes = async (...bits: string[]) =>
    JSON.parse((await runInProcess(['inspect', MODEL, '--json', ...bits])).stdout)
      .cacheBytesPerToken.model;
  const [whole, four] = [await bytes(), await bytes('--kv-bits', '4')];
  const layers = 4;
  const exempt = await bytes('--kv-bits', '4', '--kv-layers', '1-2=16');
  expect(exempt).toBe(((layers - 2) * four + 2 * whole) / layers);
  for (const method of ['hqq', 'kivi', 'lloyd-max']) {
    expect(await bytes('--kv-bits', '2', '--kv-method', method)).toBeLessThan(four);
  }
  const refused: [string[], string][] = [
    [['--kv-layers', '4=16'], 'layers must be numbers below 4, got layer 4'],
    [['--kv-bits', '8', '--kv-method', 'lloyd-max'], 'kvBits of lloyd-max must be 2, 3, 4 or 16'],
    [['--kv-method', 'kivi'], 'a method must come with bits, got kvMethod=kivi alone'],
  ];
  for (const [flags, message] of refused) {
    const { status, stderr } = await runInProcess(['inspect', MODEL, ...flags]);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  }
});

test('names of tensors cannot drive a terminal, nor pass for other lines', async () => {
  const folder = join(root, 'hostile');
  const name = '\u001b]0;owned\u0007\nmissing tensors: none';
  const extra = { dtype: 'F32' as const, shape: [1], values: Float32Array.of(1) };
  await writeFolder(folder, await tinyLlava({ tensors: { [name]: extra } }));
  const { stdout } = await runInProcess(['inspect', folder], { isTTY: true });
  expect(stdout).toContain(
    'unexpected tensors: \\u{1b}]0;owned\\u{7}\\u{a}missing tensors: none\n',
  );
  const { stdout: document } = await runInProcess(['inspect', folder, '--json']);
  expect(JSON.parse(document).unexpected).toEqual([name]);
});

test('missing tensors are told, five and how many more', async () => {
  const folder = join(root, 'missing');
  const gone = Array.from({ length: 2 }, (_, layer) =>
    ['q', 'k', 'v', 'o'].map(
      (letter) => `language_model.model.layers.${layer}.self_attn.${letter}_proj.weight`,
    ),
  ).flat();
  const tensors = Object.fromEntries(gone.map((name) => [name, undefined]));
  await writeFolder(folder, await tinyLlava({ tensors }));
  const { stdout } = await runInProcess(['inspect', folder]);
  expect(stdout).toMatch(/missing tensors: language_model\.model\.layers\.0\..* and 3 more\n/);
  const { missing } = JSON.parse((await runInProcess(['inspect', folder, '--json'])).stdout);
  expect(missing.sort()).toEqual(gone.sort());
});

async function writeFolder(folder: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  await cp(MODEL, folder, {
    recursive: true,
    filter: (path) => !/config\.json$|\.safetensors$/.test(path) || path.includes('tokenizer'),
  });
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes);
}
