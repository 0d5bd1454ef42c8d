/** The messages that docs/troubleshooting.md explains are those of the sources. */
import { expect, test } from 'vitest';
import { parseDocument } from './document';
import { readRepositoryFile } from './repository';
import { sourceMessages, textsOf } from './source-messages';

test('every quoted message stands in the sources', () => {
  const { blocks } = parseDocument(readRepositoryFile('docs/troubleshooting.md'));
  const quoted = blocks.filter(({ lang }) => lang === 'text').map(({ text }) => text);
  expect(quoted.length).toBeGreaterThan(30);
  const messages = sourceMessages();
  const gone = quoted.filter((quote) => !messages.some((message) => message.includes(quote)));
  expect(gone, 'messages that no source has; … stands for what is put in').toEqual([]);
});

test('a message is read from templates and sums, and a changed one is not found', () => {
  const source =
    'throw new Error(`f: a must be $' + '{b}, ` + "got" + ` $' + '{c ? `x` : "y"}. Give b.`);';
  const texts = textsOf('a.ts', source);
  expect(texts).toContain('f: a must be …, got …. Give b.');
  expect(texts.some((text) => text.includes('f: a should be …'))).toBe(false);
});
