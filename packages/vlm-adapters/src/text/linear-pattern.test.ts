import { readFileSync } from 'node:fs';
import { fixture } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { isLinearPattern } from './linear-pattern';

const patternOf = (family: string) =>
  JSON.parse(readFileSync(fixture(`fixtures/hf/${family}/checkpoint/tokenizer.json`), 'utf8'))
    .pre_tokenizer.pretokenizers[0].pattern.Regex;

/** Long runs of what the patterns repeat, and of what makes them give back. */
const LONG = [' ', '\n', 'a', "'", '1', '\u0301', ' \n', 'a1', '(a'].map((run) =>
  `${run.repeat(50_000 / run.length)}!`.concat(' x'),
);

/** Of the processor, so that a busy machine fails nothing. */
function milliseconds(pattern: string): number {
  const started = process.cpuUsage();
  for (const text of LONG) {
    const found = text.match(new RegExp(pattern.replaceAll('(?i:', '(?:'), 'gu'));
    expect(found === null || found.length > 0).toBe(true);
  }
  const { user, system } = process.cpuUsage(started);
  return (user + system) / 1000;
}

describe('patterns that may run', () => {
  test.each([
    patternOf('llava_next'),
    patternOf('qwen2_5_vl'),
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    '\\n',
    ' ',
    '\\d',
    '\\p{N}|[\\r\\n]+',
    '[^\\s\\p{L}]+|a?',
    '\\$\\.b+',
  ])('%s takes no long time', (pattern) => {
    expect(isLinearPattern(pattern)).toBe(true);
    // Some 20 ms for 450,000 characters; a pattern that tracks back takes minutes for one text.
    expect(milliseconds(pattern)).toBeLessThan(2000);
  });
});

test.each([
  '(a+)+$',
  'a+b',
  'a*a*b',
  '(a|a)*b',
  'a?a?a',
  'a+?',
  'a{1,9}',
  '(?=a)b',
  '(a)\\1',
  'a\\b',
  '.',
  '^a',
  'a||b',
  '|',
  '',
  '[a-z&&[^b]]',
  'a'.repeat(200),
])('%s may not run', (pattern) => {
  expect(isLinearPattern(pattern)).toBe(false);
});
