/** What the page says of sizes, of room and of errors. */
import { describe, expect, test } from 'vitest';
import { roomFor } from './src/model/room';
import { showBytes, showRate, showSeconds } from './src/words/amounts';
import { explainCamera, explainError } from './src/words/explain-error';

test('amounts have a unit and three digits', () => {
  expect([0, 768, 3072, 4_790_000, 14_100_000_000].map(showBytes)).toEqual([
    '0 B',
    '768 B',
    '3.07 KB',
    '4.79 MB',
    '14.1 GB',
  ]);
  expect([showRate(0), showRate(4.25), showRate(252)]).toEqual([
    '',
    '4.3 tokens/s',
    '252 tokens/s',
  ]);
  expect([showSeconds(154), showSeconds(2340)]).toEqual(['154 ms', '2.3 s']);
});

describe('room is told before anything is loaded', () => {
  const of = (...gb: number[]) => gb.map((one) => ({ memoryBytes: one * 1e9 }));

  test('a model beyond the address space of wasm is refused there, with ways out', () => {
    const machine = { hasWebGpu: true, memoryGib: undefined };
    expect(roomFor(of(2, 2), 'wasm', machine)).toEqual({
      verdict: 'no',
      words:
        'Both take about 5.20 GB of memory; WebAssembly holds 3.80 GB. To load it, load one of them, or store the weights smaller, or use WebGPU.',
    });
    expect(roomFor(of(2, 2), 'auto', machine).verdict).toBe('fits');
    expect(roomFor(of(4), 'auto', { ...machine, hasWebGpu: false }).verdict).toBe('no');
  });

  test('a phone that cannot hold it hears so, and one that may is warned', () => {
    const phone = { hasWebGpu: true, memoryGib: 4 };
    expect(roomFor(of(7), 'auto', phone).verdict).toBe('no');
    expect(roomFor(of(2), 'auto', phone).verdict).toBe('tight');
    expect(roomFor(of(0.5), 'auto', phone).verdict).toBe('fits');
    expect(roomFor(of(14), 'auto', { ...phone, memoryGib: 8 }).verdict).toBe('tight');
  });
});

test('errors are told apart by code, memory that is out by what engines say', () => {
  const titleOf = (message: string, code?: string) =>
    explainError(Object.assign(new Error(message), code && { code })).title;
  const codes = ['worker-failed', 'device-lost', 'does-not-fit', 'context-full', 'disk-full', 'io'];
  const titles = codes.map((code) => titleOf('x', code));
  expect(new Set(titles).size).toBe(codes.length);
  expect(titles).not.toContain('That did not work.');
  for (const said of ['Array buffer allocation failed', 'offset is out of bounds']) {
    expect(titleOf(said)).toBe('Memory ran out.');
  }
  expect(titleOf('openVlm: model_type must be one of llava, got "bert" in x.')).toContain('family');
  expect(titleOf('y', 'span-gap')).toContain('damaged');
  expect(explainError('odd').detail).toBe('odd');
});

test('a camera that is denied, absent, or busy has a sentence of its own', () => {
  const names = ['NotAllowedError', 'NotFoundError', 'NotReadableError', 'TypeError'];
  const sentences = names.map((name) => explainCamera({ name }));
  expect(new Set(sentences).size).toBe(4);
});
