import type { CacheOptions } from '@mha2mla/mla-runtime';
import { expectNoLeak } from '@mha2mla/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { embedReferences } from './embed-references';
import { packReferences } from './pack-references';
import { scoreOverCache } from './score-over-cache';
import { scoreReferences } from './score-references';
import { smallModel } from './testing/small-model';

const EACH = 4;

describe.each(['llava', 'llava_next', 'qwen2_5_vl'])('questions over a cache of %s', (name) => {
  let small: Awaited<ReturnType<typeof smallModel>>;
  beforeAll(async () => {
    small = await smallModel(name, 2 * EACH);
  });
  afterAll(() => small.close());

  /** Two pictures, one of them with a question less. */
  const asked = () => {
    const { questions, source, processor } = small;
    const rows = [questions.slice(0, EACH), questions.slice(EACH, 2 * EACH - 1)];
    return packReferences(source, processor, rows);
  };
  const overCache = async (cache: CacheOptions) => {
    const embedded = embedReferences(small.model, await asked());
    const result = await scoreOverCache(small.model, embedded, cache);
    embedded.dispose();
    return result;
  };

  test('score as without one where it is exact', async () => {
    const embedded = embedReferences(small.model, await asked());
    const alone = await scoreReferences(small.model.decoder, embedded);
    embedded.dispose();
    const { scores } = await overCache({});
    expect(scores.length).toBe(2 * EACH - 1);
    for (const [i, { nll, tokens, exact }] of scores.entries()) {
      expect([tokens, exact]).toEqual([alone[i]!.tokens, alone[i]!.exact]);
      // Float32 sums of another order, over up to 15 tokens.
      expect(Math.abs(nll - alone[i]!.nll)).toBeLessThan(1e-4);
    }
  });

  test('read what is stored, in fewer bytes', async () => {
    const [exact, eight, four] = [
      await overCache({}),
      await overCache({ kvBits: 8 }),
      await overCache({ kvBits: 4 }),
    ];
    const nll = ({ scores }: typeof exact) => scores.reduce((sum, one) => sum + one.nll, 0);
    const moved = [eight, four].map((one) => Math.abs(nll(one) - nll(exact)));
    expect(moved[0]).toBeGreaterThan(0);
    expect(moved[0]).toBeLessThan(moved[1]!);
    expect(eight.allocatedBytes).toBeLessThan(exact.allocatedBytes / 3);
    expect(four.allocatedBytes).toBeLessThan(eight.allocatedBytes / 1.5);
  });

  test('leave nothing behind', () =>
    expectNoLeak(async () => {
      await overCache({ kvBits: 8 });
    }));
});
