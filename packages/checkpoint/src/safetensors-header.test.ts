import { describe, expect, it } from 'vitest';
import { memorySource } from './memory-store';
import { readSafetensorsHeader } from './safetensors-header';

/** A file of a header (text or bytes), its length field, and data. */
function fileOf(header: string | Uint8Array, dataBytes = 0, length?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const read = (bytes: Uint8Array, options?: Parameters<typeof readSafetensorsHeader>[1]) =>
  readSafetensorsHeader(memorySource(bytes, 'x.safetensors'), options);
const entry = (dtype: string, shape: unknown, start: unknown, end: unknown) =>
  JSON.stringify({ dtype, shape, data_offsets: [start, end] });
const A = entry('F32', [1], 0, 4);

describe('readSafetensorsHeader', () => {
  it('padding around the header, empty files and empty tensors are legal', async () => {
    expect((await read(fileOf(` \n{"a":${A}}\t  `, 4))).tensors.get('a')).toMatchObject({
      start: expect.any(Number),
    });
    expect((await read(fileOf('{}'))).tensors.size).toBe(0);
    const empties = `{"b":${entry('F32', [0], 4, 4)},"a":${A},"c":${entry('F16', [0, 5], 0, 0)}}`;
    const { tensors } = await read(fileOf(empties, 4));
    expect([...tensors.keys()]).toEqual(['c', 'a', 'b']);
  });

  it('__proto__ is a tensor like any other', async () => {
    const { tensors } = await read(fileOf(`{"__proto__":${A}}`, 4));
    expect([...tensors.keys()]).toEqual(['__proto__']);
    const { metadata } = await read(fileOf('{"__metadata__":{"__proto__":"x"}}'));
    expect(metadata.get('__proto__')).toBe('x');
  });

  it.each<[string, string, Uint8Array]>([
    ['no bytes', 'header-too-small', new Uint8Array(0)],
    ['7 bytes', 'header-too-small', new Uint8Array(7)],
    ['a header of 2^64 - 1 bytes', 'header-too-large', fileOf('{}', 0, 2n ** 64n - 1n)],
    ['a header above the cap', 'header-too-large', fileOf('{}', 0, 100_000_001n)],
    ['a header beyond the file', 'header-past-end', fileOf('{}', 0, 3n)],
    ['a header that is no UTF-8', 'not-utf8', fileOf(Uint8Array.of(0x7b, 0xff, 0x7d))],
    ['an overlong encoding', 'not-utf8', fileOf(Uint8Array.of(0xc1, 0xbb))],
    ['a byte order mark', 'not-json', fileOf('\ufeff{}')],
    ['an empty header', 'not-json', fileOf('')],
    ['a header that is no JSON', 'not-json', fileOf('{"a":}')],
    ['a cut string', 'not-json', fileOf('{"a')],
    ['a second document', 'not-json', fileOf('{}{}')],
    ['NUL padding', 'not-json', fileOf('{}\0\0')],
    ['a list', 'not-object', fileOf('[]')],
    ['null', 'not-object', fileOf('null')],
    ['metadata that is a list', 'header-metadata', fileOf('{"__metadata__":[]}')],
    ['metadata of a number', 'header-metadata', fileOf('{"__metadata__":{"a":1}}')],
    ['two equal names', 'duplicate-key', fileOf(`{"a":${A},"a":${A}}`, 4)],
    ['two equal names, one escaped', 'duplicate-key', fileOf(`{"a":${A},"\\u0061":${A}}`, 4)],
    ['two __proto__', 'duplicate-key', fileOf(`{"__proto__":${A},"__proto__":${A}}`, 4)],
    [
      'two shapes in one entry',
      'duplicate-key',
      fileOf('{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', 4),
    ],
    ['deep nesting', 'too-deep', fileOf('['.repeat(100_000))],
    ['an entry that is no object', 'header-entry', fileOf('{"a":"F32"}')],
    ['a lone surrogate as a name', 'header-entry', fileOf(`{"\\ud800":${A}}`, 4)],
    ['a dtype that is not known', 'unknown-dtype', fileOf(`{"a":${entry('F31', [1], 0, 4)}}`, 4)],
    [
      'a dtype that every object has',
      'unknown-dtype',
      fileOf(`{"a":${entry('constructor', [1], 0, 4)}}`, 4),
    ],
    ['a missing dtype', 'unknown-dtype', fileOf('{"a":{"shape":[1],"data_offsets":[0,4]}}', 4)],
    [
      'a shape that is no list',
      'header-entry',
      fileOf(`{"a":${entry('F32', { length: 1 }, 0, 4)}}`, 4),
    ],
    ['a negative dimension', 'header-entry', fileOf(`{"a":${entry('F32', [-1], 0, 4)}}`, 4)],
    ['a fraction', 'header-entry', fileOf(`{"a":${entry('F32', [1.5], 0, 6)}}`, 6)],
    [
      'a dimension with an exponent',
      'header-entry',
      fileOf('{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}', 4),
    ],
    ['a dimension that is text', 'header-entry', fileOf(`{"a":${entry('F32', ['1'], 0, 4)}}`, 4)],
    [
      'a dimension beyond 2^53',
      'header-entry',
      fileOf('{"a":{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,4]}}', 4),
    ],
    ['65 dimensions', 'header-entry', fileOf(`{"a":${entry('F32', Array(65).fill(1), 0, 4)}}`, 4)],
    [
      'one offset',
      'header-entry',
      fileOf('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4]}}', 4),
    ],
    [
      'three offsets',
      'header-entry',
      fileOf('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}', 4),
    ],
    ['offsets in reverse', 'header-entry', fileOf(`{"a":${entry('F32', [1], 4, 0)}}`, 4)],
    [
      'offsets beyond 2^53',
      'header-entry',
      fileOf('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}}', 4),
    ],
    [
      'a product that overflows',
      'shape-overflow',
      fileOf(`{"a":${entry('F32', [2 ** 40, 2 ** 40], 0, 4)}}`, 4),
    ],
    [
      'a product that overflows before a zero',
      'shape-overflow',
      fileOf(`{"a":${entry('F32', [2 ** 40, 2 ** 40, 0], 0, 0)}}`),
    ],
    ['half a byte', 'not-whole-bytes', fileOf(`{"a":${entry('F4', [1], 0, 1)}}`, 1)],
    [
      'a span shorter than the tensor',
      'span-mismatch',
      fileOf(`{"a":${entry('F32', [2], 0, 4)}}`, 4),
    ],
    [
      'a span longer than the tensor',
      'span-mismatch',
      fileOf(`{"a":${entry('F32', [1], 0, 8)}}`, 8),
    ],
    ['a hole at the start', 'span-gap', fileOf(`{"a":${entry('F32', [1], 4, 8)}}`, 8)],
    ['a hole in the middle', 'span-gap', fileOf(`{"a":${A},"b":${entry('F32', [1], 8, 12)}}`, 12)],
    ['an overlap', 'span-gap', fileOf(`{"a":${A},"b":${entry('F32', [1], 2, 6)}}`, 6)],
    ['two tensors on the same bytes', 'span-gap', fileOf(`{"a":${A},"b":${A}}`, 4)],
    ['a tail', 'span-tail', fileOf(`{"a":${A}}`, 5)],
    ['missing data', 'span-tail', fileOf(`{"a":${A}}`, 3)],
    ['terabytes of claims', 'span-tail', fileOf(`{"a":${entry('U8', [2 ** 42], 0, 2 ** 42)}}`, 4)],
  ])('%s: %s', async (_, code, bytes) => {
    await expect(read(bytes)).rejects.toMatchObject({ name: 'CheckpointError', code });
  });

  it("the cap of a page is the caller's to set", async () => {
    const bytes = fileOf(`{}${' '.repeat(98)}`);
    await expect(read(bytes, { maxHeaderBytes: 99 })).rejects.toMatchObject({
      code: 'header-too-large',
    });
    await expect(read(bytes, { maxHeaderBytes: 100 })).resolves.toBeDefined();
  });

  it('messages hold no control characters of a name', async () => {
    const name = '\\u001b[2J\\u0085\\u202e';
    const refused = read(fileOf(`{"${name}":${entry('F31', [1], 0, 4)}}`, 4));
    await expect(refused).rejects.toThrow(/^[^\p{Cc}\p{Cf}]*$/u);
  });

  it('an aborted signal rejects with its reason', async () => {
    const reason = new Error('enough');
    await expect(read(fileOf('{}'), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('a header of 100,000 tensors is checked in seconds', async () => {
    const parts = Array.from(
      { length: 100_000 },
      (_, i) => `"model.layers.${i}.w":${entry('U8', [1], i, i + 1)}`,
    );
    const bytes = fileOf(`{${parts.join(',')}}`, 100_000);
    const start = performance.now();
    expect((await read(bytes)).tensors.size).toBe(100_000);
    expect(performance.now() - start).toBeLessThan(20_000); // 0.35 s measured; quadratic work would take minutes
  });
});
