import { readFileSync } from 'node:fs';
import { expectClose, fixture, gaussian } from '@mha2mla/testing';
import { describe, expect, it } from 'vitest';
import { concatBytes } from './concat-bytes';
import type { Dtype } from './dtype';
import { encodeTensor } from './encode-tensor';
import { memorySource } from './memory-store';
import { openSafetensors } from './open-safetensors';
import { safetensorsSize, type TensorEntry, writeSafetensors } from './write-safetensors';

/** Writes to memory. */
async function written(
  entries: readonly TensorEntry[],
  dataOf: Parameters<typeof writeSafetensors>[2],
  options?: Parameters<typeof writeSafetensors>[3],
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await writeSafetensors(
    { write: async (bytes) => void pieces.push(bytes) },
    entries,
    dataOf,
    options,
  );
  return concatBytes(pieces);
}

describe('writeSafetensors and openSafetensors', () => {
  it.each(['F64', 'F32', 'F16', 'BF16'] as const)(
    'write then read is the identity on %s',
    async (dtype) => {
      // Values that every type holds: 8 significant bits.
      const values = gaussian(24, 1).map((x) => Math.round(x * 64) / 64);
      const bytes = await written([{ name: 'w', dtype, shape: [4, 6] }], () => values);
      const checkpoint = await openSafetensors(memorySource(bytes));
      expect(await checkpoint.readFloat32('w')).toEqual(values);
      expect(await checkpoint.readBytes('w')).toEqual(encodeTensor(values, dtype).slice());
    },
  );

  it.each(['BOOL', 'U8', 'I8', 'U16', 'I16', 'U32', 'I32', 'U64', 'I64'] as const)(
    'write then read is the identity on %s',
    async (dtype: Dtype) => {
      const values = Int32Array.of(0, 1, 1, 0, dtype === 'BOOL' ? 1 : 127, 0);
      const signed = dtype.startsWith('I') ? values.map((x) => -x) : values;
      const bytes = await written([{ name: 'n', dtype, shape: [2, 3] }], () => signed);
      const checkpoint = await openSafetensors(memorySource(bytes));
      expect(await checkpoint.readInt32('n')).toEqual(signed);
    },
  );

  it('reading rows is a slice of the whole', async () => {
    const values = gaussian(40, 2);
    for (const dtype of ['F64', 'F32', 'F16', 'BF16'] as const) {
      const bytes = await written([{ name: 'w', dtype, shape: [5, 2, 4] }], () => values);
      const checkpoint = await openSafetensors(memorySource(bytes));
      const whole = await checkpoint.readFloat32('w');
      for (const rows of [
        [0, 5],
        [1, 3],
        [4, 5],
        [2, 2],
      ] as const) {
        const part = await checkpoint.readFloat32('w', { rows });
        expect(part).toEqual(whole.slice(rows[0] * 8, rows[1] * 8));
      }
      await expect(checkpoint.readFloat32('w', { rows: [3, 6] })).rejects.toMatchObject({
        code: 'bad-range',
      });
    }
  });

  it('headers round trip, hostile names and empty tensors included', async () => {
    const entries: TensorEntry[] = [
      { name: '__proto__', dtype: 'F32', shape: [2] },
      { name: 'constructor', dtype: 'BF16', shape: [] },
      { name: 'ключ "\\\n', dtype: 'U8', shape: [0, 7] },
      { name: '7', dtype: 'F16', shape: [3, 0] },
      { name: 'b', dtype: 'U8', shape: [3] },
    ];
    const metadata = { format: 'pt', __note: 'é' };
    const bytes = await written(
      entries,
      ({ shape, dtype }) => {
        const n = shape.reduce((a, b) => a * b, 1);
        return dtype === 'U8' ? new Uint8Array(n) : new Float32Array(n);
      },
      { metadata },
    );
    const checkpoint = await openSafetensors(memorySource(bytes));
    expect(checkpoint.tensors.size).toBe(entries.length);
    for (const { name, dtype, shape } of entries) {
      expect(checkpoint.tensors.get(name)).toMatchObject({ name, dtype, shape });
    }
    expect(Object.fromEntries(checkpoint.metadata)).toEqual(metadata);
    expect(bytes.byteLength).toBe(safetensorsSize(entries, { metadata }));
  });

  it('the order of entries does not change the bytes, and data starts at a multiple of 8', async () => {
    const entries: TensorEntry[] = [
      { name: 'b', dtype: 'F16', shape: [1] },
      { name: 'a', dtype: 'F16', shape: [2] },
      { name: 'c', dtype: 'F32', shape: [1] },
    ];
    const zeros = ({ shape }: TensorEntry) => new Float32Array(shape[0]!);
    const bytes = await written(entries, zeros);
    expect(await written([...entries].reverse(), zeros)).toEqual(bytes);
    const { tensors } = await openSafetensors(memorySource(bytes));
    expect([...tensors.keys()]).toEqual(['c', 'a', 'b']);
    expect(tensors.get('c')!.start % 8).toBe(0);
  });

  it('wrong lengths, equal names and reserved names are refused', async () => {
    const one: TensorEntry = { name: 'a', dtype: 'F32', shape: [2] };
    const refused = { code: 'write-mismatch' };
    await expect(written([one], () => new Float32Array(3))).rejects.toMatchObject(refused);
    await expect(written([one, one], () => new Float32Array(2))).rejects.toMatchObject(refused);
    await expect(
      written([{ ...one, name: '__metadata__' }], () => new Float32Array(2)),
    ).rejects.toMatchObject(refused);
    await expect(
      written([{ ...one, shape: [-2] }], () => new Float32Array(2)),
    ).rejects.toMatchObject(refused);
    await expect(
      written([{ ...one, dtype: 'F4', shape: [1] }], () => new Uint8Array(1)),
    ).rejects.toMatchObject(refused);
  });

  it('files written by Hugging Face open, and rewriting one reproduces its tensors', async () => {
    for (const path of [
      'models/llava/model.safetensors',
      'fixtures/hf/llava/checkpoint/model.safetensors',
    ]) {
      const file = new Uint8Array(readFileSync(fixture(path)));
      const checkpoint = await openSafetensors(memorySource(file, 'model.safetensors'));
      expect(checkpoint.tensors.size).toBe(114);
      expect(checkpoint.metadata.get('format')).toBe('pt');
      const again = await written([...checkpoint.tensors.values()], ({ name }) =>
        checkpoint.readBytes(name),
      );
      expect(again.length).toBe(file.length);
      expect(again.every((byte, i) => byte === file[i])).toBe(true); // our order and padding are the Rust writer's
    }
  });

  it('float32 goldens read as the reference wrote them', async () => {
    const file = readFileSync(fixture('fixtures/hf/llava/mha2mla/S.safetensors'));
    const checkpoint = await openSafetensors(memorySource(new Uint8Array(file)));
    const moment = await checkpoint.readFloat32('img.0');
    const transposed = moment.map((_, i) => moment[(i % 128) * 128 + Math.floor(i / 128)]!);
    expectClose(moment, transposed, { abs: 1e-4, rel: 1e-4 }); // a second moment is symmetric
  });
});
