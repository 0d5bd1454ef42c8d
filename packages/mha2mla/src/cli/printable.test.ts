import { expect, test } from 'vitest';
import { printable, printableLine } from './printable';

test.each([
  ['plain text, a tab\t, a line end\n, é, 漢字, 👍🏽', undefined],
  ['\u001b[31mred\u0007', '\\u{1b}[31mred\\u{7}'],
  ['over\rwritten\b', 'over\\u{d}written\\u{8}'],
  ['\u009b2J', '\\u{9b}2J'],
  ['\u202etxt.exe\u2066', '\\u{202e}txt.exe\\u{2066}'],
  ['a\u2028b', 'a\\u{2028}b'],
  ['\ud800 alone', '\\u{d800} alone'],
])('%j cannot drive a terminal', (text, shown) => {
  expect(printable(text)).toBe(shown ?? text);
});

test('a name cannot begin a line of its own', () => {
  expect(printableLine('a\nb\tc\u001b')).toBe('a\\u{a}b\\u{9}c\\u{1b}');
});
