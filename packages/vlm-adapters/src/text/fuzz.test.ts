import { readFileSync } from 'node:fs';
import { parseJson } from '@mha2mla/checkpoint';
import { fixture, fuzz, fuzzBytes, fuzzJson } from '@mha2mla/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadChatTemplate } from './chat-template';
import type { Message } from './message-parts';
import { createTokenStream } from './token-stream';
import { loadTokenizer } from './tokenizer';

const FOLDERS = ['llava', 'llava_next', 'qwen2_5_vl'].map((name) => `fixtures/hf/${name}`);
const readText = (path: string) => readFileSync(fixture(path), 'utf8');
const readJson = (path: string) => JSON.parse(readText(path));

const messages: Message[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: '<image>\nWhat is <image> "here"?  </s> It\'s 1234\r\n\n é😀' },
  { role: 'assistant', content: [{ type: 'text', text: 'A cup.' }] },
];
/** Text that gives slow patterns and merges something to do. */
const TEXT = `${'a'.repeat(3000)} ${' '.repeat(300)}${'\n'.repeat(300)}it's 12345 日本 é😀</s><image>`;

/** Load a tokenizer and use all of it. */
function useTokenizer(json: unknown, config: unknown): void {
  const tokenizer = loadTokenizer(json, config);
  const ids = tokenizer.encode(TEXT);
  tokenizer.encode(TEXT, { literal: [[0, TEXT.length]], addSpecialTokens: false });
  tokenizer.decode(ids, { skipSpecialTokens: true });
  tokenizer.decode([0, 3, 300, 400, 2 ** 21]);
  const stream = createTokenStream(tokenizer);
  for (const id of ids.slice(0, 50)) stream.push(id);
  stream.flush();
}

describe.each(FOLDERS)('%s', (folder) => {
  const tokenizerJson = readJson(`${folder}/checkpoint/tokenizer.json`);
  const config = readJson(`${folder}/checkpoint/tokenizer_config.json`);
  const template = readJson(`${folder}/checkpoint/chat_template.json`);

  /** Render with a template's file in its place. */
  const render = (files: Parameters<typeof loadChatTemplate>[0]) => {
    const specialTokens = ['<s>', '</s>', '<image>'];
    const chat = loadChatTemplate(files, { namedTokens: { bos_token: '<s>' }, specialTokens });
    chat.renderLiteral(messages, { addGenerationPrompt: true });
  };

  test('tokenizer.json with edited values', async () => {
    const read = (text: string) => useTokenizer(parseJson(text, 'tokenizer.json'), config);
    await fuzzJson(tokenizerJson, read, { runs: 300, maxBytes: 2 ** 24 });
  });

  test('tokenizer.json with edited stages', async () => {
    const { model, added_tokens, ...stages } = tokenizerJson;
    const { vocab, merges, ...settings } = model;
    const read = (text: string) => {
      const edited = parseJson(text, 'tokenizer.json') as Record<string, unknown>;
      const whole = { ...(edited.model as object), vocab, merges };
      useTokenizer({ ...edited, model: whole, added_tokens }, config);
    };
    const options = { runs: 600, maxBytes: 2 ** 24 };
    await fuzzJson({ ...stages, model: settings }, read, options);
  });

  test('tokenizer_config.json with edited values', async () => {
    const read = (text: string) => {
      const edited = parseJson(text, 'tokenizer_config.json');
      useTokenizer(tokenizerJson, edited);
      render({ chatTemplateJson: template, tokenizerConfig: edited });
    };
    await fuzzJson(config, read, { runs: 100, maxBytes: 2 ** 24 });
  });

  test('chat_template.json with edited values', async () => {
    const read = (text: string) => render({ chatTemplateJson: parseJson(text, 'chat_template') });
    await fuzzJson(template, read, { runs: 200 });
  });

  test('a template with edited bytes', async () => {
    const bytes = new TextEncoder().encode(template.chat_template);
    const read = (edited: Uint8Array) => render({ jinja: new TextDecoder().decode(edited) });
    await fuzzBytes(bytes, read, { runs: 600 });
  });

  test('any text of a conversation stays text: it brings no special token', async () => {
    const tokenizer = loadTokenizer(tokenizerJson, config);
    const chat = loadChatTemplate(
      { chatTemplateJson: template },
      { namedTokens: tokenizer.namedTokens, specialTokens: tokenizer.specialTokens.keys() },
    );
    const special = new Set(tokenizer.specialTokens.values());
    const specialsOf = (texts: readonly string[]) => {
      const turns = texts.map((text, i) => ({
        role: i % 2 === 0 ? 'user' : 'assistant',
        content: [{ type: 'text' as const, text }],
      }));
      const { text, literal } = chat.renderLiteral(turns, { addGenerationPrompt: true });
      return tokenizer.encode(text, { literal }).filter((id) => special.has(id));
    };
    const spellings = [...tokenizer.specialTokens.keys()];
    const piece = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.constantFrom(...spellings, ...spellings.map((one) => one.slice(0, -1)), ' ', '\n', '>'),
    );
    const texts = fc.array(
      fc.array(piece, { maxLength: 5 }).map((pieces) => pieces.join('')),
      { minLength: 1, maxLength: 3 },
    );
    await fuzz(texts, { runs: 150, maxBytes: 2 ** 24 }, (said) => ({
      size: said.join('').length,
      read: () => expect(specialsOf(said)).toEqual(specialsOf(said.map(() => 'x'))),
    }));
  });
});
