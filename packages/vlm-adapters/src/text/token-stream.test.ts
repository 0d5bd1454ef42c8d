import { readFileSync } from 'node:fs';
import { fixture, gaussian } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { createTokenStream } from './token-stream';
import { loadTokenizer } from './tokenizer';

const readJson = (path: string) => JSON.parse(readFileSync(fixture(path), 'utf8'));
const load = (folder: string) =>
  loadTokenizer(readJson(`${folder}/tokenizer.json`), readJson(`${folder}/tokenizer_config.json`));

const TEXTS = [
  'What color is the square?',
  '  two  spaces,\n\nnew lines\tand tabs ',
  'naïve café 你好 🙂 – ¿qué?',
  '🙂',
  '',
];

/** Bytes that a text stands for, where a replacement character stands for one. */
const bytesOf = (text: string) => new TextEncoder().encode(text.replaceAll('\ufffd', '?')).length;

describe.each([
  ['byte fallback', 'fixtures/hf/llava/checkpoint'],
  ['byte level', 'models/llava'],
])('%s', (_, folder) => {
  const tokenizer = load(folder);

  test('streamed text is the decoded text, in whole characters', () => {
    for (const text of TEXTS) {
      for (const skipSpecialTokens of [true, false]) {
        const ids = tokenizer.encode(text);
        const stream = createTokenStream(tokenizer, { skipSpecialTokens });
        const pieces = ids.map((id) => stream.push(id));
        expect(pieces.join('')).not.toContain('\ufffd');
        expect(pieces.join('') + stream.flush()).toBe(tokenizer.decode(ids, { skipSpecialTokens }));
      }
    }
  });

  test('a character that is cut off is held back, and given up at the end', () => {
    const ids = tokenizer.encode('x🙂', { addSpecialTokens: false }).slice(0, -1);
    const stream = createTokenStream(tokenizer);
    expect(ids.map((id) => stream.push(id)).join('')).toBe('x');
    expect(`x${stream.flush()}`).toBe(tokenizer.decode(ids));
    const again = tokenizer.encode('y', { addSpecialTokens: false });
    expect(again.map((id) => stream.push(id)).join('')).toBe('y');
  });

  test('any ids at all give the text of decode; a broken run keeps its start, byte for byte', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const ids = Array.from(gaussian(12, seed), (x) => Math.floor(Math.abs(x) * 200));
      const stream = createTokenStream(tokenizer);
      const text = ids.map((id) => stream.push(id)).join('') + stream.flush();
      const decoded = tokenizer.decode(ids, { skipSpecialTokens: true });
      if (tokenizer.byteForm === 'byte-level') expect(text).toBe(decoded);
      expect(bytesOf(text)).toBe(bytesOf(decoded));
    }
  });
});

describe('runs of byte tokens', () => {
  const tokenizer = load('fixtures/hf/llava/checkpoint');
  const bytes = (...values: number[]) =>
    values.map((byte) => tokenizer.tokenId(`<0x${byte.toString(16).toUpperCase()}>`)!);
  const A = tokenizer.tokenId('a')!;
  const stream = (ids: number[]) => {
    const { push, flush } = createTokenStream(tokenizer);
    return [...ids.map(push), flush()];
  };

  test('a character is given as soon as it is whole', () => {
    expect(stream([A, ...bytes(0xc3, 0xa9, 0x2b), A])).toEqual(['a', '', 'é', '+', 'a', '']);
  });

  test('from a fault on, each byte of the run is a replacement character, as in decode', () => {
    const ids = [...bytes(0xe4, 0x41, 0x42, 0xff), A, ...bytes(0x43)];
    expect(stream(ids)).toEqual(['', '\ufffd\ufffd', '\ufffd', '\ufffd', 'a', 'C', '']);
    expect(tokenizer.decode(ids)).toBe('\ufffd\ufffd\ufffd\ufffdaC');
  });

  test('before it, a stream has given the characters that decode then drops', () => {
    const ids = bytes(0x41, 0xff);
    expect(stream(ids)).toEqual(['A', '\ufffd', '']);
    expect(tokenizer.decode(ids)).toBe('\ufffd\ufffd');
  });

  test('special tokens and ids without a token do not end a run', () => {
    const eos = tokenizer.eosTokenId!;
    const [first, second] = bytes(0xc3, 0xa9);
    const ids = [A, first!, eos, 447, second!];
    expect(stream(ids).join('')).toBe('aé');
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe('aé');
  });
});
