/** A model whose decoder is stored as GPTQ stores it: loaded, asked, converted, asked again. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Checkpoint,
  decodeFloat32,
  encodeTensor,
  openCheckpoint,
  openSafetensors,
  type TensorEntry,
  type TensorValues,
  writeSafetensors,
} from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { loadDecoder, prefillStep, textLayout, type WeightFormat } from '@mha2mla/mla-runtime';
import { expectClose, fixture } from '@mha2mla/testing';
import { describeModel, weightSizes } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readConverted, shardOf } from '../../convert/convert-layer';
import { planConversion } from '../../convert/plan-conversion';
import { plannedBytes } from '../../convert/planned-bytes';
import { assertFloats, storedNames } from '../../heal/assert-healable';
import { FAMILIES, withModelFolder } from '../../node/open-model';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('models/llava');
const DATA = fixture('models/scenes/test.jsonl');
const GROUP = 64;
let root: string;
const at = (name: string) => join(root, name);
const configOf = async (folder: string) =>
  JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-packed-'));
  for (const [name, dtype] of [
    ['packed', 'F16'],
    ['wide', 'F32'],
  ] as const) {
    await cp(MODEL, at(name), { recursive: true });
    await packFolder(at(name), dtype);
  }
});
afterAll(() => rm(root, { recursive: true }));

/** Store its decoder's matrices in 8 bits, their scales as `dtype`, and say so in its config. */
async function packFolder(folder: string, dtype: 'F16' | 'F32'): Promise<void> {
  const store = await nodeStore(MODEL);
  const checkpoint = await openCheckpoint(store);
  const entries = new Map<string, { entry: TensorEntry; values: TensorValues }>();
  for (const { name, shape, dtype: own } of checkpoint.tensors.values()) {
    if (!/(_proj|embed_tokens|lm_head)\.weight$/.test(name) || name.includes('vision')) {
      const entry = { name, shape, dtype: own };
      entries.set(name, { entry, values: await checkpoint.readBytes(name) });
    } else await packMatrix(checkpoint, name, dtype, entries);
  }
  const pieces: Uint8Array[] = [];
  await writeSafetensors(
    { write: async (bytes) => void pieces.push(bytes.slice()) },
    [...entries.values()].map(({ entry }) => entry),
    ({ name }) => entries.get(name)!.values,
  );
  await store.close?.();
  await writeFile(join(folder, 'model.safetensors'), Buffer.concat(pieces));
  const quantization_config = { quant_method: 'gptq', bits: 8, group_size: GROUP, sym: true };
  const config = { ...(await configOf(MODEL)), quantization_config };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
}

/** Symmetric: the zero is 128, stored as 127. Scales are halves, whatever they are stored as. */
async function packMatrix(
  checkpoint: Checkpoint,
  name: string,
  dtype: 'F16' | 'F32',
  entries: Map<string, { entry: TensorEntry; values: TensorValues }>,
): Promise<void> {
  const [outputs, inputs] = checkpoint.tensors.get(name)!.shape as [number, number];
  const values = await checkpoint.readFloat32(name);
  const groups = inputs / GROUP;
  const qweight = new Int32Array((inputs / 4) * outputs);
  const scales = new Float32Array(groups * outputs);
  for (let output = 0; output < outputs; output++) {
    for (let group = 0; group < groups; group++) {
      const start = output * inputs + group * GROUP;
      const own = values.subarray(start, start + GROUP);
      const scale = asHalf(own.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127);
      scales[group * outputs + output] = scale;
      for (const [i, value] of own.entries()) {
        const input = group * GROUP + i;
        const integer = Math.min(Math.round(value / scale) + 128, 255);
        qweight[Math.floor(input / 4) * outputs + output]! |= integer << (8 * (input % 4));
      }
    }
  }
  const prefix = name.slice(0, -'weight'.length);
  const put = (part: string, shape: number[], dtype: TensorEntry['dtype'], data: TensorValues) =>
    entries.set(prefix + part, { entry: { name: prefix + part, shape, dtype }, values: data });
  put('qweight', [inputs / 4, outputs], 'I32', qweight);
  put(
    'qzeros',
    [groups, outputs / 4],
    'I32',
    new Int32Array(groups * (outputs / 4)).fill(0x7f7f7f7f),
  );
  put('scales', [groups, outputs], dtype, scales);
}

const asHalf = (value: number) =>
  decodeFloat32(encodeTensor(Float32Array.of(value), 'F16'), 'F16')[0]!;

/** Logits of a few tokens. */
async function logitsOf(folder: string, weights: WeightFormat) {
  return withModelFolder(folder, {}, async (source) => {
    await tf.setBackend('wasm');
    const decoder = await loadDecoder(source.config.decoder, source.weights, { weights });
    const embeds = decoder.embed(Int32Array.of(1, 2, 3, 4), [1, 4]);
    const positions = Int32Array.of(0, 1, 2, 3);
    const step = prefillStep(textLayout(1, 4), positions, source.config.decoder);
    const hidden = await decoder.prefill(embeds, step);
    const logits = decoder.logits(hidden);
    const values = await logits.data();
    tf.dispose([embeds, hidden, logits]);
    step.dispose();
    decoder.dispose();
    return values;
  });
}

test('its integers are taken over: the logits of the floats that they stand for', async () => {
  // Scales of float32 leave no room for a zero point: those matrices are read as floats.
  const expected = await logitsOf(at('wide'), 'f32');
  // f32 sums in another order, through all layers.
  expectClose(await logitsOf(at('packed'), 'int8'), expected, { abs: 1e-4 });
});

test('its sizes count scales and zeros, and inspect tells of them', async () => {
  const sizes = (folder: string) =>
    withModelFolder(folder, {}, async (source) => ({
      packed: weightSizes(source, { weights: 'int8' }).packedBytes,
      told: (await describeModel(source.store, { families: FAMILIES })).storedBytes,
      values: [...source.checkpoint.tensors.values()]
        .filter(({ name }) => source.checkpoint.packed!.parts(name))
        .reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0),
    }));
  const { packed, told, values } = await sizes(at('packed'));
  const wide = await sizes(at('wide'));
  // A float32 scale for 64 values, or packed anew for 32; 2 bytes of a scale that are stored or 4.
  expect(wide.packed - packed).toBe(4 * (values / 32 - values / GROUP));
  expect(wide.told - told).toBe(2 * (values / GROUP));
  const original = await withModelFolder(MODEL, {}, ({ store }) =>
    describeModel(store, { families: FAMILIES }),
  );
  expect(told).toBe(original.storedBytes - values * (2 - (1 + 2 / GROUP + 1 / GROUP)));
  const { stdout } = await runInProcess(['inspect', at('packed'), '--json']);
  expect(JSON.parse(stdout).packed).toEqual({ method: 'gptq', bits: 8, groupSize: GROUP });
  const text = await runInProcess(['inspect', at('packed')]);
  expect(text.stdout).toContain('parameters, matrices packed by gptq in 8 bits, groups of 64\n');
});

const answersOf = async (...argv: string[]) => {
  const run = await runInProcess(['eval', ...argv, DATA, '--limit', '40', '--json']);
  expect([run.status, run.stderr]).toEqual([0, expect.any(String)]);
  return JSON.parse(run.stdout).answers.map(({ answer }: { answer: string }) => answer);
};

test('it answers as the model in floats does, in other packings too', async () => {
  const original = await answersOf(MODEL);
  expect(await answersOf(at('packed'))).toEqual(original);
  expect(await answersOf(at('packed'), '--weights', 'int8')).toEqual(original);
});

const convert = (name: string, ...argv: string[]) =>
  runInProcess(['convert', at('packed'), at(name), ...PLAIN, ...argv, '--quiet']);
const PLAIN = ['--rank', '24', '--strategy', 'high', '--init', 'weights'];

test('converted, all but its attention stays packed, byte for byte', async () => {
  expect(await convert('converted')).toMatchObject({ status: 0, stderr: '' });
  const { quantization_config } = await configOf(at('packed'));
  expect((await configOf(at('converted'))).quantization_config).toEqual({
    ...quantization_config,
    modules_to_not_convert: ['self_attn', '.*\\.self_attn\\..*'],
  });
  const stored = async (folder: string) => {
    const store = await nodeStore(folder);
    const checkpoint = await openCheckpoint(store);
    const parts = [...checkpoint.tensors.values()].filter(({ dtype }) => dtype === 'I32');
    const bytes = new Map<string, Uint8Array>();
    for (const { name } of parts) bytes.set(name, await checkpoint.readBytes(name));
    const sizes = [...checkpoint.tensors.values()].map(({ start, end }) => end - start);
    await store.close?.();
    return { bytes, total: sizes.reduce((a, b) => a + b, 0) };
  };
  const before = await stored(at('packed'));
  const after = await stored(at('converted'));
  const kept = [...before.bytes].filter(([name]) => !name.includes('self_attn'));
  expect(kept.length).toBeGreaterThan(0);
  expect(after.bytes).toEqual(new Map(kept));
  await withModelFolder(at('packed'), {}, async (source) => {
    const options = { rank: 24, strategy: 'high', init: 'weights' } as const;
    const { layers, rest } = plannedBytes(source, planConversion(source.config.decoder, options));
    expect(layers.reduce((a, b) => a + b, rest)).toBe(after.total);
    // A run that is resumed reads of a layer what is new in it.
    const store = await nodeStore(at('converted'));
    const output = { read: async (name: string) => (await store.open(name))! };
    const job = { source, index: 0, output };
    const { tensors } = await openSafetensors(await output.read(shardOf(job)));
    const record = { ropePairs: [], entries: [...tensors.values()] };
    const { fresh } = await readConverted(job, record);
    await store.close?.();
    expect(fresh.size).toBeGreaterThan(0);
    for (const name of fresh.keys()) expect(name).toMatch(/^self_attn\./);
  });
  const { stdout } = await runInProcess(['inspect', at('converted'), '--json']);
  const packed = { method: 'gptq', bits: 8, groupSize: GROUP };
  expect(JSON.parse(stdout)).toMatchObject({
    converted: true,
    packed,
    missing: [],
    unexpected: [],
  });
});

test('it answers as the same in floats does, which --dtype asks for', async () => {
  expect(await convert('floats', '--dtype', 'f16')).toMatchObject({ status: 0, stderr: '' });
  const expected = await answersOf(at('floats'));
  expect(await answersOf(at('converted'), '--weights', 'int8')).toEqual(expected);
  const config = await configOf(at('floats'));
  expect(config).not.toHaveProperty('quantization_config');
  const { quantization_config } = await configOf(at('packed'));
  await writeFile(
    join(at('floats'), 'config.json'),
    JSON.stringify({ ...config, quantization_config }),
  );
  const { status, stderr } = await runInProcess(['inspect', at('floats')]);
  expect(status).toBe(1);
  expect(stderr).toContain('a converted model of floats must have no quantization_config');
});

test('healed, it stays so; what is packed is not trained', async () => {
  const argv = ['--teacher', MODEL, '--limit', '4', '--batch', '1', '--steps', '1', '--r', '2'];
  const data = ['--data', fixture('models/scenes/heal.jsonl'), '--quiet'];
  const run = await runInProcess(['heal', at('converted'), at('healed'), ...argv, ...data]);
  expect(run).toMatchObject({ status: 0, stderr: '' });
  const { stdout } = await runInProcess(['inspect', at('healed'), '--json']);
  expect(JSON.parse(stdout)).toMatchObject({ packed: { bits: 8 }, missing: [], unexpected: [] });
  await withModelFolder(at('healed'), {}, async (source) => {
    const assert = (name: string) => assertFloats(source, storedNames(source, [name]));
    assert('layers.0.self_attn.o_proj.weight');
    expect(() => assert('layers.0.mlp.up_proj.weight')).toThrow(
      /must be stored as floats, got 1 of 1 weights that are packed: .*layers\.0\.mlp\.up_proj\.weight/,
    );
  });
});
