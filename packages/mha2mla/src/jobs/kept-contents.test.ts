import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ContentRef } from './job-store';
import { keptContents } from './kept-contents';

const ref = (digit: number): ContentRef => ({ sha256: String(digit).repeat(64), sizeBytes: digit });

test('a content goes with the last who needs it, once, and not before', async () => {
  const digit = fc.nat(3);
  const steps = fc.array(
    fc.record({ keep: fc.boolean(), digits: fc.array(digit, { maxLength: 4 }) }),
  );
  const property = fc.asyncProperty(steps, async (all) => {
    const removed: ContentRef[] = [];
    const kept = keptContents({ remove: async (gone) => void removed.push(gone) });
    const needed = [0, 0, 0, 0];
    for (const { keep, digits } of all) {
      // Nobody drops what was not kept.
      const own = keep
        ? digits
        : digits.filter((d, i) => needed[d]! > digits.slice(0, i).filter((e) => e === d).length);
      const refs = own.map(ref);
      if (keep) kept.keep(...refs);
      else await kept.drop(...refs);
      for (const d of own) needed[d]! += keep ? 1 : -1;
      const gone = keep ? [] : [...new Set(own)].filter((d) => needed[d] === 0).sort();
      expect(
        removed
          .splice(0)
          .map(({ sizeBytes }) => sizeBytes)
          .sort(),
      ).toEqual(gone);
    }
  });
  await fc.assert(property, { seed: 1, numRuns: 200 });
});

test('the same bytes under two names are one content', async () => {
  const removed: ContentRef[] = [];
  const kept = keptContents({ remove: async (gone) => void removed.push(gone) });
  kept.keep(ref(1), ref(1));
  await kept.drop(ref(1));
  expect(removed).toEqual([]);
  await kept.drop({ ...ref(1) });
  expect(removed).toEqual([ref(1)]);
});

test('who drops learns that it could not be removed', async () => {
  const kept = keptContents({ remove: () => Promise.reject(new Error('no right to')) });
  kept.keep(ref(1));
  await expect(kept.drop(ref(1))).rejects.toThrow('no right to');
});
