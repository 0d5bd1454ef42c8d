import { expect, test } from 'vitest';
import { showJson } from './show-json';

test('values are JSON, cut short, and cannot drive a terminal', () => {
  expect(showJson({ a: [1, null] })).toBe('{"a":[1,null]}');
  expect(showJson(undefined)).toBe('undefined');
  expect(showJson('\u001b]0;x\u009b\u202e')).toBe('"\\u001b]0;x\\u009b\\u202e"');
  expect(showJson(new Array(20_000).fill(0))).toHaveLength(81);
  expect(showJson('😀'.repeat(60))).not.toMatch(/\p{Cs}/u);
});
