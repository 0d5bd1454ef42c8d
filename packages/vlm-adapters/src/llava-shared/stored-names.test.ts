import { readFileSync } from 'node:fs';
import { fixture } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { llavaStoredNames } from './stored-names';

/** The decoder's own names have no prefix, the tower's no `vision_model`. */
const ours = (published: string) =>
  published.replace(/^language_model\.(model\.)?/, '').replace('.vision_model.', '.');

describe.each(['llava', 'llava_next'])('%s', (family) => {
  const path = fixture(`fixtures/hf/${family}/newer_layout/names.json`);
  const layouts: [string, Record<string, string>][] = Object.entries(
    JSON.parse(readFileSync(path, 'utf8')),
  );

  test('every weight is found under its published name and under those of newer classes', () => {
    expect(layouts.length).toBeGreaterThan(90);
    for (const [published, newer] of layouts) {
      const names = llavaStoredNames(ours(published));
      expect(names[0]).toBe(published);
      for (const name of Object.values(newer)) expect(names).toContain(name);
    }
  });

  test('no name stands for two weights', () => {
    const names = layouts.flatMap(([published]) => llavaStoredNames(ours(published)));
    expect(new Set(names).size).toBe(names.length);
  });
});
