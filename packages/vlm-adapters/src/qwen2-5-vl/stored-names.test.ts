import { expect, test } from 'vitest';
import { qwen25VlStoredNames } from './stored-names';
import { readQwenJson } from './testing/qwen-golden';

const layouts: Record<string, Record<string, string>> = readQwenJson('newer_layout/names.json');

test('every weight has its published name first, and its name in newer classes', () => {
  expect(Object.keys(layouts).length).toBeGreaterThan(100);
  for (const [published, newer] of Object.entries(layouts)) {
    const [first, ...others] = qwen25VlStoredNames(published.replace(/^model\./, ''));
    expect(first).toBe(published);
    for (const name of Object.values(newer)) expect([first, ...others]).toContain(name);
  }
});

test('no name stands for two weights', () => {
  const names = Object.keys(layouts).flatMap((published) =>
    qwen25VlStoredNames(published.replace(/^model\./, '')),
  );
  expect(new Set(names).size).toBe(names.length);
});
