/** A model whose decoder is stored as GPTQ stores it: asked, converted, asked again. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Checkpoint,
  openCheckpoint,
  type TensorEntry,
  type TensorValues,
  writeSafetensors,
} from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { fixture } from '@mha2mla/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runInProcess } from '../testing/run-in-process';

const MODEL = fixture('models/llava');
const DATA = fixture('models/scenes/test.jsonl');
const GROUP = 32;
let root: string;
const at = (name: string) => join(root, name);
const configOf = async (folder: string) =>
  JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-packed-'));
  await cp(MODEL, at('packed'), { recursive: true });
  await packFolder(at('packed'));
});
afterAll(() => rm(root, { recursive: true }));

/** Store its decoder's maps in 8 bits, and say so in its config. */
async function packFolder(folder: string): Promise<void> {
  const store = await nodeStore(MODEL);
  const checkpoint = await openCheckpoint(store);
  const entries = new Map<string, { entry: TensorEntry; values: TensorValues }>();
  for (const { name, shape, dtype } of checkpoint.tensors.values()) {
    if (!/layers\.\d+\.(mlp|self_attn)\.\w+\.weight$/.test(name) || name.includes('vision')) {
      const entry = { name, shape, dtype };
      entries.set(name, { entry, values: await checkpoint.readBytes(name) });
    } else await packMatrix(checkpoint, name, entries);
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

/** Symmetric: the zero is 128, stored as 127. */
async function packMatrix(
  checkpoint: Checkpoint,
  name: string,
  entries: Map<string, { entry: TensorEntry; values: TensorValues }>,
): Promise<void> {
  const [outputs, inputs] = checkpoint.tensors.get(name)!.shape as [number, number];
  const values = await checkpoint.readFloat32(name);
  const groups = inputs / GROUP;
  const qweight = new Int32Array((inputs / 4) * outputs);
  const scales = new Float32Array(groups * outputs);
  for (let output = 0; output < outputs; output++) {
    for (let input = 0; input < inputs; input++) {
      const group = Math.floor(input / GROUP);
      const start = output * inputs + group * GROUP;
      const most = values
        .subarray(start, start + GROUP)
        .reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const scale = most / 127;
      scales[group * outputs + output] = scale;
      const integer = Math.round(values[output * inputs + input]! / scale) + 128;
      qweight[Math.floor(input / 4) * outputs + output]! |= integer << (8 * (input % 4));
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
  put('scales', [groups, outputs], 'F16', scales);
}

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

test('it converts to a model of floats, which a packed config beside would contradict', async () => {
  const argv = [
    'convert',
    at('packed'),
    at('converted'),
    '--rank',
    '24',
    '--strategy',
    'high',
    '--init',
    'weights',
  ];
  expect(await runInProcess([...argv, '--quiet'])).toMatchObject({ status: 0, stderr: '' });
  const config = await configOf(at('converted'));
  expect(config).not.toHaveProperty('quantization_config');
  expect(await runInProcess(['inspect', at('converted')])).toMatchObject({ status: 0 });
  const { quantization_config } = await configOf(at('packed'));
  await writeFile(
    join(at('converted'), 'config.json'),
    JSON.stringify({ ...config, quantization_config }),
  );
  const { status, stderr } = await runInProcess(['inspect', at('converted')]);
  expect(status).toBe(1);
  expect(stderr).toContain('a converted model must store its weights as floats');
});
