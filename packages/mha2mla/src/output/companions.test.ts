import { memoryStore } from '@mha2mla/checkpoint';
import { expect, test } from 'vitest';
import { copyCompanions } from './companions';
import { copyFiles } from './copy-files';
import { memoryOutput } from './result-output';

test('companions that are there are copied byte for byte, other files are not', async () => {
  // More than one part of a copy, with a rest.
  const big = new Uint8Array(9_000_001).map((_, i) => (i * 31) & 255);
  const files = { 'tokenizer.json': big, 'vocab.json': new Uint8Array(0) };
  const output = memoryOutput();
  await copyCompanions(memoryStore({ ...files, 'config.json': '{}', 'notes.txt': '' }), output);
  expect([...output.files.keys()]).toEqual(Object.keys(files));
  expect(Buffer.compare(output.files.get('tokenizer.json')!, big)).toBe(0);
  expect(output.files.get('vocab.json')).toHaveLength(0);
});

test('the files named are copied in their order, to a sink that keeps state', async () => {
  const written: string[] = [];
  class Sink {
    bytes = 0;
    async write(part: Uint8Array) {
      this.bytes += part.length;
    }
  }
  const output = memoryOutput();
  output.write = async (name, produce) => {
    const sink = new Sink();
    await produce(sink);
    written.push(`${name} ${sink.bytes}`);
  };
  await copyFiles(memoryStore({ a: 'one', b: '', c: 'three' }), output, ['c', 'd', 'a']);
  expect(written).toEqual(['c 5', 'a 3']);
});
