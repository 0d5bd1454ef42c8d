import { type ByteSink, memorySource } from '@mha2mla/checkpoint';
import { fuzzBytes, fuzzJson, joinSafetensors, splitSafetensors } from '@mha2mla/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ContentRef, JobStore } from './job-store';
import { putValue, readValue } from './stored-value';

const REF: ContentRef = { sha256: 'a'.repeat(64), sizeBytes: 0 };

/** The bytes of a value. */
async function bytesOf(value: unknown): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const sink = { write: async (part: Uint8Array) => void parts.push(part.slice()) } as ByteSink;
  const put: JobStore['put'] = async (produce) => {
    await produce(sink);
    return REF;
  };
  await putValue({ put } as JobStore, value);
  return Uint8Array.from(Buffer.concat(parts));
}

const read = (bytes: Uint8Array) =>
  readValue({ open: async () => memorySource(bytes) } as Partial<JobStore> as JobStore, REF);

const arrays = fc.oneof(
  fc.float32Array({ maxLength: 9 }),
  fc.float64Array({ maxLength: 9 }),
  fc.int32Array({ maxLength: 9 }),
  fc.uint8Array({ maxLength: 9 }),
  // Of a longer buffer, where no element of f64 may begin.
  fc.uint8Array({ minLength: 9, maxLength: 17 }).map((bytes) => bytes.subarray(1)),
);
const { value: values } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    arrays,
    fc.constantFrom(null, true, false, 0, 2 ** 53, 5e-324, -1.5),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0), // JSON has no -0
    fc.string({ unit: 'binary' }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

test('a value comes back, its arrays to the bit and of their type', async () => {
  const property = fc.asyncProperty(values, async (value) => {
    expect(await read(await bytesOf(value))).toStrictEqual(value);
  });
  await fc.assert(property, { seed: 1, numRuns: 300 });
});

test('the same value gives the same bytes, and another value others', async () => {
  const property = fc.asyncProperty(values, values, async (value, other) => {
    const bytes = await bytesOf(value);
    expect(await bytesOf(structuredClone(value))).toEqual(bytes);
    if (Buffer.compare(await bytesOf(other), bytes) === 0) expect(other).toStrictEqual(value);
  });
  await fc.assert(property, { seed: 1, numRuns: 100 });
});

test('a Buffer is stored as bytes, and what is absent stays absent', async () => {
  const value = { bytes: Buffer.from([1, 2]), absent: undefined };
  expect(await read(await bytesOf(value))).toStrictEqual({ bytes: Uint8Array.of(1, 2) });
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
  'a number that JSON would turn to null is refused: %s',
  async (number) => {
    await expect(bytesOf({ a: [number] })).rejects.toThrow(/putValue: numbers must be finite/);
  },
);

test('an array of another type is refused', async () => {
  await expect(bytesOf([new Uint16Array(1)])).rejects.toThrow(/^putValue: arrays must be of f32/);
});

const VALUE = {
  shape: [1, 2, 2],
  values: Float32Array.of(1, 2, 3, 4),
  list: [
    { mask: Uint8Array.of(1, 0), count: 3 },
    { rows: Int32Array.of(4), f: Float64Array.of(5) },
  ],
  text: 'a "text"',
};

test('edited bytes of a file', async () => {
  await fuzzBytes(await bytesOf(VALUE), read, { runs: 1500 });
});

test('edited values of its header', async () => {
  const { header, body } = splitSafetensors(await bytesOf(VALUE));
  await fuzzJson(header, (text) => read(joinSafetensors(text, body)), { runs: 500 });
});

test('edited values of its document', async () => {
  const { header, body } = splitSafetensors(await bytesOf(VALUE));
  const [start, end] = (header.json as { data_offsets: [number, number] }).data_offsets;
  const document = JSON.parse(new TextDecoder().decode(body.subarray(start, end)));
  const withText = (text: string) => {
    const json = new TextEncoder().encode(text);
    const tensor = { dtype: 'U8', shape: [json.length], data_offsets: [0, json.length] };
    const arrays = Object.entries(header).filter(
      ([name]) => !['json', '__metadata__'].includes(name),
    );
    let at = json.length;
    const parts = [json];
    const moved = arrays.map(([name, info]) => {
      const { data_offsets, ...own } = info as { data_offsets: [number, number] };
      parts.push(body.slice(...data_offsets));
      const from = at;
      at += data_offsets[1] - data_offsets[0];
      return [name, { ...own, data_offsets: [from, at] }];
    });
    const own = JSON.stringify({ json: tensor, ...Object.fromEntries(moved) });
    return joinSafetensors(own, Uint8Array.from(Buffer.concat(parts)));
  };
  expect(await read(withText(JSON.stringify(document)))).toStrictEqual(VALUE);
  await fuzzJson(document, (text) => read(withText(text)), { runs: 1000 });
});

test('keys of a document become keys, whatever they are called', async () => {
  const value = JSON.parse('{"__proto__": {"a": 1}, "constructor": 2}');
  const back = (await read(await bytesOf(value))) as object;
  expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
  expect(Object.keys(back)).toEqual(['__proto__', 'constructor']);
});
