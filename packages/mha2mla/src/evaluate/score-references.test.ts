import { expectNoLeak } from '@mha2mla/testing';
import type * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Question } from '../data/question';
import { embedReferences } from './embed-references';
import { evaluate } from './evaluate';
import { packReferences } from './pack-references';
import { scoreReferences } from './score-references';
import { smallModel } from './testing/small-model';

/** Questions a picture in the test set. */
const EACH = 4;
const PICTURES = 3;

describe.each(['llava', 'llava_next', 'qwen2_5_vl'])('packed questions to %s', (name) => {
  let small: Awaited<ReturnType<typeof smallModel>>;
  beforeAll(async () => {
    small = await smallModel(name, PICTURES * EACH);
  });
  afterAll(() => small.close());

  const rowsOf = (each: number) =>
    Array.from({ length: Math.ceil(small.questions.length / each) }, (_, i) =>
      small.questions.slice(i * each, (i + 1) * each),
    );
  const score = async (rows: Question[][], onOutput?: (output: tf.Tensor2D) => void) => {
    const { source, model, processor } = small;
    const embedded = embedReferences(model, await packReferences(source, processor, rows));
    const scores = await scoreReferences(model.decoder, embedded, { onOutput });
    embedded.dispose();
    return scores;
  };

  test('have the accuracy and the likelihood that evaluate tells', async () => {
    const { model, processor, questions } = small;
    const { accuracy, nll } = await evaluate(model, processor, questions);
    const scores = await score(rowsOf(EACH));
    const sum = (pick: (one: (typeof scores)[number]) => number) =>
      scores.reduce((total, one) => total + pick(one), 0);
    expect(sum(({ exact }) => Number(exact)) / scores.length).toBe(accuracy);
    // Decoded token by token over a cache there, in one pass here: float32 sums of another order.
    expect(Math.abs(sum((one) => one.nll) / sum(({ tokens }) => tokens) - nll)).toBeLessThan(1e-5);
  });

  test('are scored as they are alone', async () => {
    const [together, alone] = [await score(rowsOf(EACH)), await score(rowsOf(1))];
    for (const [i, { nll, tokens, exact }] of together.entries()) {
      expect([tokens, exact]).toEqual([alone[i]!.tokens, alone[i]!.exact]);
      expect(Math.abs(nll - alone[i]!.nll)).toBeLessThan(1e-4); // a sum over up to 15 tokens
    }
  });

  test('show what the head reads, and leave nothing behind', () =>
    expectNoLeak(async () => {
      let rows = 0;
      const scores = await score(rowsOf(EACH), ({ shape }) => {
        rows += shape[0];
        expect(shape[1]).toBe(small.source.config.decoder.hiddenSize);
      });
      expect(rows).toBe(scores.reduce((sum, { tokens }) => sum + tokens, 0));
    }));

  test('must ask about the same pictures, and be there', async () => {
    const { source, processor, questions } = small;
    const [first] = questions;
    const moved = {
      ...first!,
      messages: [{ role: 'system', content: 'be brief' }, ...first!.messages],
    };
    await expect(packReferences(source, processor, [[first!, moved as Question]])).rejects.toThrow(
      /must begin alike up to the end of their pictures, got \d+ tokens in common/,
    );
    await expect(packReferences(source, processor, [[]])).rejects.toThrow('got none');
    await expect(packReferences(source, processor, [])).rejects.toThrow('got none');
  });
});
