/** Against what AutoGPTQ and AutoAWQ unpack (fixtures/packed), and against files that lie. */
import { type FixtureTensor, fixture, readSafetensors } from '@mha2mla/testing';
import { describe, expect, it } from 'vitest';
import { concatBytes } from '../concat-bytes';
import { decodeFloat32 } from '../decode-tensor';
import type { Dtype } from '../dtype';
import { encodeTensor } from '../encode-tensor';
import { memorySource } from '../memory-store';
import { openSafetensors } from '../open-safetensors';
import { writeSafetensors } from '../write-safetensors';
import { unpackedCheckpoint } from './unpacked-checkpoint';

const golden = readSafetensors(fixture('fixtures/packed/golden.safetensors'));
const GPTQ = { quant_method: 'gptq', bits: 4, group_size: 32 };
const AWQ = { quant_method: 'awq', bits: 4, group_size: 32, version: 'gemm' };
const CASES: [string, object][] = [
  ['gptq2', { ...GPTQ, bits: 2 }],
  ['gptq4', GPTQ],
  ['gptq8', { ...GPTQ, bits: 8 }],
  ['listed', { ...GPTQ, desc_act: true }],
  ['awq', AWQ],
];

type Tensors = Record<string, Pick<FixtureTensor, 'shape' | 'data'> & { dtype: string }>;

/** What a golden case stores, as `up.qweight` and so on, beside a tensor of floats. */
function stored(name: string): Tensors {
  const parts = [...golden].filter(
    ([key]) => key.startsWith(`${name}.`) && !key.endsWith('.weight'),
  );
  return {
    'norm.weight': { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) },
    ...Object.fromEntries(parts.map(([key, tensor]) => [key.replace(name, 'up'), tensor])),
  };
}

async function open(tensors: Tensors) {
  const pieces: Uint8Array[] = [];
  await writeSafetensors(
    { write: async (bytes) => void pieces.push(bytes.slice()) },
    Object.entries(tensors).map(([name, { dtype, shape }]) => ({
      name,
      dtype: dtype as Dtype,
      shape,
    })),
    ({ name }) => tensors[name]!.data,
  );
  return openSafetensors(memorySource(concatBytes(pieces), 'model.safetensors'));
}

describe('unpackedCheckpoint', () => {
  it.each(CASES)(
    '%s: the values that the libraries compute with, to the bit',
    async (name, config) => {
      const checkpoint = unpackedCheckpoint(await open(stored(name)), { ...config });
      const expected = golden.get(`${name}.weight`)!;
      expect([...checkpoint.tensors.keys()].sort()).toEqual(['norm.weight', 'up.weight']);
      expect(checkpoint.tensors.get('up.weight')).toMatchObject({ shape: [32, 64], dtype: 'F16' });
      expect(await checkpoint.readFloat32('up.weight')).toEqual(expected.data);
      const rows = [3, 11] as const;
      const some = expected.data.slice(3 * 64, 11 * 64);
      expect(await checkpoint.readFloat32('up.weight', { rows })).toEqual(some);
      const bytes = encodeTensor(expected.data as Float32Array, 'F16');
      expect(await checkpoint.readBytes('up.weight')).toEqual(bytes);
      expect([...(await checkpoint.readFloat32('norm.weight'))]).toEqual([1, 2]);
    },
  );

  it.each(CASES)('%s: rows as they are stored, but for the order', async (name, config) => {
    const { packed } = unpackedCheckpoint(await open(stored(name)), { ...config });
    const parts = Object.keys(stored(name)).filter((part) => part !== 'norm.weight');
    expect(
      packed
        .parts('up.weight')!
        .map((part) => part.name)
        .sort(),
    ).toEqual(parts.sort());
    expect([packed.parts('norm.weight'), packed.form('norm.weight')]).toEqual([
      undefined,
      undefined,
    ]);
    const { bits } = packed;
    const form = { bits, inputs: 64, groupSize: 32, dtype: 'F16' };
    expect(packed.form('up.weight')).toEqual(name === 'listed' ? undefined : form);
    if (name === 'listed') return;
    const { words, zeros, scales } = await packed.readRows('up.weight', [3, 11]);
    const values = Float32Array.from({ length: 8 * 64 }, (_, i) => {
      const integer = (words[Math.floor((i * bits) / 32)]! >>> ((i * bits) % 32)) % 2 ** bits;
      const group = Math.floor(i / 32);
      return (integer - zeros[group]!) * scales[group]!;
    });
    const expected = golden.get(`${name}.weight`)!.data.slice(3 * 64, 11 * 64);
    expect(decodeFloat32(encodeTensor(values, 'F16'), 'F16')).toEqual(expected);
    const outside = packed.readRows('up.weight', [3, 33]);
    await expect(outside).rejects.toMatchObject({ code: 'bad-range' });
  });

  it('a list that stands in another order than the config says is refused when read', async () => {
    const checkpoint = await open(stored('listed'));
    const lying = unpackedCheckpoint(checkpoint, { ...GPTQ, desc_act: false });
    for (const read of [
      lying.packed.readRows('up.weight', [0, 1]),
      lying.readFloat32('up.weight'),
    ]) {
      await expect(read).rejects.toThrow(/"up.g_idx" must be in order .* Set desc_act to true/);
    }
    const silent = unpackedCheckpoint(checkpoint, GPTQ);
    expect(silent.packed.form('up.weight')).toBeUndefined();
  });

  it('reads a matrix once for all blocks of its rows, and holds none of it then', async () => {
    const checkpoint = await open(stored('awq'));
    const read: string[] = [];
    const counted = {
      ...checkpoint,
      readInt32: (name: string) => {
        read.push(name);
        return checkpoint.readInt32(name);
      },
    };
    const { packed } = unpackedCheckpoint(counted, AWQ);
    for (const rows of [
      [0, 8],
      [8, 30],
      [30, 32],
    ] as const) {
      await packed.readRows('up.weight', rows);
      expect(read).toEqual(['up.qweight', 'up.qzeros']);
    }
    await packed.readRows('up.weight', [0, 8]);
    expect(read.length).toBe(4);
  });

  it('the second format of GPTQ stores zeros as they are', async () => {
    const values = stored('gptq4');
    const { data } = values['up.qzeros']!;
    // One more in each of eight places; no zero is 15 before, or it would carry.
    const v2 = {
      ...values['up.qzeros']!,
      data: Int32Array.from(data, (word) => word + 0x11111111),
    };
    const checkpoint = unpackedCheckpoint(await open({ ...values, 'up.qzeros': v2 }), {
      ...GPTQ,
      checkpoint_format: 'gptq_v2',
    });
    expect(await checkpoint.readFloat32('up.weight')).toEqual(golden.get('gptq4.weight')!.data);
  });

  it.each<[string, object, RegExp]>([
    ['another method', { quant_method: 'bitsandbytes' }, /must be gptq or awq, got "bitsandbytes"/],
    ['no method', { bits: 4 }, /must be gptq or awq, got ""/],
    ['three bits', { ...GPTQ, bits: 3 }, /bits .* must be 2, 4, 8, got 3/],
    ['another format', { ...GPTQ, checkpoint_format: 'marlin' }, /got "marlin"/],
    ['another version', { ...AWQ, version: 'gemv' }, /must be gemm, got "gemv"/],
    ['AWQ of eight bits', { ...AWQ, bits: 8 }, /must be 4, got 8/],
    ['a group of none', { ...GPTQ, group_size: 0 }, /be -1 or at least 1/],
    ['a group of half', { ...GPTQ, group_size: 0.5 }, /"group_size" must be an integer/],
    ['groups of another size', { ...GPTQ, group_size: 16 }, /qzeros" must be \[4,4\].*got \[2,4\]/],
    ['one group', { ...GPTQ, group_size: -1 }, /qzeros" must be \[1,4\]/],
    ['bits of another width', { ...GPTQ, bits: 8 }, /qzeros" must be \[1,8\]/],
  ])('%s is refused before a weight is read', async (_, config, message) => {
    const checkpoint = await open(stored('gptq4'));
    expect(() => unpackedCheckpoint(checkpoint, { ...config })).toThrow(message);
  });

  it.each<[string, (tensors: Tensors) => Tensors, RegExp]>([
    ['no scales', ({ 'up.scales': _, ...others }) => others, /must have "up.scales" \[2,32\]/],
    ['no zeros', ({ 'up.qzeros': _, ...others }) => others, /must have "up.qzeros" \[2,4\]/],
    ['floats beside', (all) => ({ ...all, 'up.weight': all['norm.weight']! }), /stored once/],
    [
      'integers as floats',
      (all) => ({ ...all, 'up.qweight': { ...all['norm.weight']! } }),
      /must be I32, got F32/,
    ],
    [
      'an empty matrix',
      (all) => ({ ...all, 'up.qweight': { dtype: 'I32', shape: [0, 32], data: new Int32Array() } }),
      /without empty/,
    ],
    [
      'a group list of another length',
      (all) => ({ ...all, 'up.g_idx': { dtype: 'I32', shape: [2], data: Int32Array.of(0, 1) } }),
      /g_idx" must be \[64\]/,
    ],
  ])('%s: refused', async (_, change, message) => {
    const checkpoint = await open(change(stored('gptq4')));
    expect(() => unpackedCheckpoint(checkpoint, GPTQ)).toThrow(message);
  });

  it('a group that is not there, and rows that are not, are refused when read', async () => {
    const data = new Int32Array(64);
    data[5] = 2;
    const wrong = { ...stored('gptq4'), 'up.g_idx': { dtype: 'I32', shape: [64], data } };
    const listed = unpackedCheckpoint(await open(wrong), GPTQ);
    const read = listed.readFloat32('up.weight');
    await expect(read).rejects.toThrow('"up.g_idx" must name groups in 0..1, got 2 at input 5');
    for (const rows of [
      [0, 33],
      [-1, 2],
      [3, 2],
      [0, 0.5],
    ] as const) {
      await expect(listed.readFloat32('up.weight', { rows })).rejects.toMatchObject({
        code: 'bad-range',
      });
    }
  });
});
