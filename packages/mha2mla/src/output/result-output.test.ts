import { describe, expect, test } from 'vitest';
import { memoryOutput, readOwnJson, writeJson } from './result-output';

describe('a result kept in memory', () => {
  test('joins the parts of a piece, and keeps them whatever becomes of the buffer', async () => {
    const output = memoryOutput();
    const buffer = Uint8Array.of(1, 2);
    await output.write('piece', async (sink) => {
      await sink.write(buffer);
      buffer.fill(9);
      await sink.write(buffer.subarray(1));
    });
    expect(output.files.get('piece')).toEqual(Uint8Array.of(1, 2, 9));
    expect(await output.has('piece')).toBe(true);
    const source = await output.read('piece');
    expect(await source.read(1, source.size)).toEqual(Uint8Array.of(2, 9));
  });

  test('has no piece whose writing failed', async () => {
    const output = memoryOutput();
    const failing = output.write('piece', async (sink) => {
      await sink.write(Uint8Array.of(1));
      throw new Error('disk full');
    });
    await expect(failing).rejects.toThrow('disk full');
    expect(await output.has('piece')).toBe(false);
    await expect(output.read('piece')).rejects.toThrow('got none named piece');
  });

  test('is finished without its scratch', async () => {
    const output = memoryOutput();
    await writeJson(output, 'kept.json', { a: [1, null] });
    await writeJson(output, 'scratch.json', {});
    expect(await readOwnJson(output, 'kept.json')).toEqual({ a: [1, null] });
    await output.finish(['scratch.json']);
    expect([...output.files.keys()]).toEqual(['kept.json']);
  });
});
