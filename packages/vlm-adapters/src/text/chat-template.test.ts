import { readFileSync } from 'node:fs';
import { fixture } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { loadChatTemplate } from './chat-template';

const LLAVA = 'fixtures/hf/llava';
const readJson = (path: string) => JSON.parse(readFileSync(fixture(path), 'utf8'));
const goldens = readJson(`${LLAVA}/goldens/goldens.json`);
const chatTemplateJson = readJson(`${LLAVA}/checkpoint/chat_template.json`);

test('text equals that of Hugging Face', () => {
  const template = loadChatTemplate({ chatTemplateJson });
  for (const { messages, text } of Object.values<{ messages: []; text: string[] }>(
    goldens.prompts,
  )) {
    const rendered = messages.map((m) => template.render(m, { addGenerationPrompt: true }));
    expect(rendered).toEqual(text);
  }
});

test('the template comes from the first file that has one', () => {
  const user = [{ role: 'user', content: 'x' }];
  const files = {
    jinja: 'jinja',
    chatTemplateJson: { chat_template: 'json' },
    processorConfig: { chat_template: 'processor' },
    tokenizerConfig: { chat_template: [{ name: 'default', template: 'tokenizer' }] },
  };
  expect(loadChatTemplate(files).render(user)).toBe('jinja');
  expect(loadChatTemplate({ ...files, jinja: undefined }).render(user)).toBe('json');
  const { processorConfig, tokenizerConfig } = files;
  expect(loadChatTemplate({ processorConfig, tokenizerConfig }).render(user)).toBe('processor');
  expect(loadChatTemplate({ tokenizerConfig }).render(user)).toBe('tokenizer');
  expect(() => loadChatTemplate({ tokenizerConfig: {} })).toThrow(/must have a chat template/);
});

describe('special spellings in messages', () => {
  const specialTokens = ['<image>', '</s>', '<|end|>'];
  const llava = loadChatTemplate({ chatTemplateJson }, { specialTokens });

  const user = (...texts: string[]) => [
    {
      role: 'user',
      content: [
        { type: 'image' as const },
        ...texts.map((text) => ({ type: 'text' as const, text })),
      ],
    },
  ];

  test('are marked where a message holds them, and only there', () => {
    const { text, literal } = llava.renderLiteral(user('a <image> b'));
    expect(text).toBe('USER: <image>\na <image> b ');
    expect(literal.map(([start, end]) => text.slice(start, end))).toEqual(['<', '>']);
    expect(literal[0]![0]).toBe(text.lastIndexOf('<image>'));
    expect(llava.renderLiteral(user('plain')).literal).toEqual([]);
  });

  test('are marked when they arise from two parts side by side', () => {
    const jinja =
      '{% for m in messages %}{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}';
    const { text, literal } = loadChatTemplate({ jinja }, { specialTokens }).renderLiteral(
      user('<|e', 'nd|>'),
    );
    expect(text).toBe('<|end|>');
    expect(literal).toEqual([
      [0, 1],
      [6, 7],
    ]);
  });

  test('are refused when the template acts on them', () => {
    const jinja = "{% for m in messages %}{{ m.content[1].text.split('</s>')[0] }}{% endfor %}";
    const template = loadChatTemplate({ jinja }, { specialTokens });
    expect(() => template.renderLiteral(user('a</s>b'))).toThrow(/must not spell .*<\/s>/);
    expect(template.renderLiteral(user('a < b')).text).toBe('a < b');
  });

  test('are refused when they arise beside what the template acts on', () => {
    const jinja =
      "{% for m in messages %}{{ m.content[1].text.split('</think>')[-1] }}{{ m.content[2].text }}{% endfor %}";
    const template = loadChatTemplate({ jinja }, { specialTokens });
    expect(template.renderLiteral(user('why</think>a', ' > b'))).toEqual({
      text: 'a > b',
      literal: [],
    });
    expect(() => template.renderLiteral(user('why</think><|e', 'nd|>'))).toThrow(
      /must not spell .*<\|end\|>/,
    );
  });
});
