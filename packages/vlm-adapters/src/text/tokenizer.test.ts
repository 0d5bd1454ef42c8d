import { readFileSync } from 'node:fs';
import { fixture, readSafetensors } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { loadTokenizer } from './tokenizer';

const LLAVA = 'fixtures/hf/llava';
const readJson = (path: string) => JSON.parse(readFileSync(fixture(path), 'utf8'));
const goldens = readJson(`${LLAVA}/goldens/goldens.json`);
const tokenizerJson = readJson(`${LLAVA}/checkpoint/tokenizer.json`);

describe.each([
  ['older layout', `${LLAVA}/checkpoint/tokenizer_config.json`],
  ['newer layout', `${LLAVA}/newer_layout/tokenizer_config.json`],
])('%s', (_, configPath) => {
  const tokenizer = loadTokenizer(tokenizerJson, readJson(configPath));

  test('ids and decodings equal those of Hugging Face', () => {
    for (const { text, ids, ids_no_special, decoded, decoded_skip_special } of goldens.tokenizer) {
      expect(tokenizer.encode(text)).toEqual(ids);
      expect(tokenizer.encode(text, { addSpecialTokens: false })).toEqual(ids_no_special);
      expect(tokenizer.decode(ids)).toBe(decoded);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(decoded_skip_special);
    }
  });

  test('special tokens are known by role and by spelling', () => {
    expect(tokenizer.bosTokenId).toBe(1);
    expect(tokenizer.eosTokenId).toBe(2);
    expect(tokenizer.padTokenId).toBe(401);
    expect(tokenizer.tokenId('<image>')).toBe(400);
    expect([...tokenizer.specialTokens.keys()].sort()).toEqual(
      ['<unk>', '<s>', '</s>', '<image>', '<pad>'].sort(),
    );
  });
});

const tokenizer = loadTokenizer(
  tokenizerJson,
  readJson(`${LLAVA}/checkpoint/tokenizer_config.json`),
);

test('generated ids decode as in Hugging Face, ids above the vocabulary included', () => {
  for (const name of ['p0', 'p1', 'p2']) {
    const tensors = readSafetensors(fixture(`${LLAVA}/goldens/${name}.safetensors`));
    const ids = tensors.get('generated_ids')!.data;
    const text = tokenizer.decode(ids, { skipSpecialTokens: true });
    expect(text).toBe(goldens.prompts[name].generated_text[0]);
  }
});

test('a literal special spelling is text, and the same spelling elsewhere a token', () => {
  const text = 'A<image>B <image>';
  const ids = tokenizer.encode(text, { literal: [[10, 17]] });
  expect(ids.filter((id) => id === 400).length).toBe(1);
  expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe('A B <image>');
  const whole = tokenizer.encode('</s><pad>', { literal: [[0, 9]] });
  expect(whole.slice(1).some((id) => [...tokenizer.specialTokens.values()].includes(id))).toBe(
    false,
  );
  expect(tokenizer.decode(whole, { skipSpecialTokens: true })).toBe('</s><pad>');
});

test('marking text literal changes no id where no special token is spelt', () => {
  for (const { text, ids } of goldens.tokenizer) {
    if (text === '') continue;
    const literal = text.includes('<image>') ? ([[0, 1]] as const) : ([[0, text.length]] as const);
    expect(tokenizer.encode(text, { literal })).toEqual(ids);
  }
});

test('white space goes to tokens that strip it, in marked text too', () => {
  const added = tokenizerJson.added_tokens.map((token: { content: string }) =>
    token.content === '<image>' ? { ...token, lstrip: true, rstrip: true } : token,
  );
  const stripping = loadTokenizer({ ...tokenizerJson, added_tokens: added });
  for (const text of ['is <image> it', ' <image> ', 'a <image>']) {
    const ids = stripping.encode(text);
    expect(stripping.encode(text, { literal: [[0, 1]] })).toEqual(ids);
    expect(ids).toContain(400);
  }
});

test('files of another form are refused', () => {
  const broken = (change: object) => () => loadTokenizer({ ...tokenizerJson, ...change });
  expect(broken({ added_tokens: 5 })).toThrow(/added_tokens must be a list/);
  expect(broken({ added_tokens: [{ id: 2 ** 32, content: 'x' }] })).toThrow(/got 4294967296/);
  expect(broken({ added_tokens: [{ id: 3, content: '' }] })).toThrow(/must have content/);
  expect(broken({ added_tokens: [{ id: 3, content: 'x'.repeat(1025) }] })).toThrow(/1 to 1024/);
  expect(broken({ model: { ...tokenizerJson.model, vocab: { a: 0.5 } } })).toThrow(/got 0\.5/);
  expect(() => loadTokenizer('x')).toThrow(/must be a JSON object/);
  expect(() => loadTokenizer(tokenizerJson, { remove_space: true })).toThrow(/remove_space/);
});

test('a token that the vocabulary lacks is an error, not the first row of the embedding', () => {
  const model = { ...tokenizerJson.model, unk_token: '<nowhere>', byte_fallback: false };
  expect(() => loadTokenizer({ ...tokenizerJson, model }).encode('😀')).toThrow(
    /must stand in the vocabulary/,
  );
});

test('a pattern that is no regular expression is refused in our words', () => {
  const pre_tokenizer = { type: 'Split', pattern: { Regex: '[z-a]' } };
  expect(() => loadTokenizer({ ...tokenizerJson, pre_tokenizer })).toThrow(
    /^loadTokenizer: tokenizer.json must be one that loads, got: /,
  );
});
