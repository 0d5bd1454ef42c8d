import { readFileSync } from 'node:fs';
import { fixture } from '@mha2mla/testing';
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
    expect(stream.flush()).toBe('\ufffd');
    const again = tokenizer.encode('y', { addSpecialTokens: false });
    expect(again.map((id) => stream.push(id)).join('')).toBe('y');
  });
});

test('bytes that are no UTF-8 never stop the stream', () => {
  const tokenizer = load('fixtures/hf/llava/checkpoint');
  const stream = createTokenStream(tokenizer);
  const invalid = tokenizer.tokenId('<0xFF>')!;
  for (let i = 0; i < 10; i++) expect(stream.push(invalid)).toBe('\ufffd');
  expect(stream.push(tokenizer.tokenId('a')!)).toBe('a');
});
