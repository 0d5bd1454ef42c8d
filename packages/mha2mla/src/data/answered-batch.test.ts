import { nodeStore } from '@mha2mla/checkpoint/node';
import { fixture } from '@mha2mla/testing';
import { llava, openVlm, type Processor } from '@mha2mla/vlm-adapters';
import { expect, test } from 'vitest';
import { answeredBatch } from './answered-batch';
import type { Question } from './question';

/** Prompts are their letters' codes behind a 1; answers too, before an end token 2; padding is 0. */
const letters: Processor = {
  ...({} as Processor),
  padTokenId: 0,
  process(samples) {
    const rows = samples.map(({ messages }) => [1, ...codes(messages[0]!.content as string)]);
    const length = Math.max(...rows.map((row) => row.length));
    const padded = rows.map((row) => [...new Array<number>(length - row.length).fill(0), ...row]);
    const inputIds = Int32Array.from(padded.flat());
    const attentionMask = inputIds.map((id) => (id === 0 ? 0 : 1));
    return { batch: rows.length, length, inputIds, attentionMask };
  },
  encodeAnswer: (_, answer) => [...codes(answer), 2],
};

function codes(text: string): number[] {
  return [...text].map((letter) => letter.charCodeAt(0) - 87); // a is 10
}

function ask(prompt: string, ...answers: string[]): Question {
  return {
    messages: [{ role: 'user', content: prompt }],
    answers,
    loadMedia: async () => ({ images: [] }),
  };
}

test('answers stand behind their prompts, left-padded, each token under what predicts it', async () => {
  const questions = [ask('abc', 'd'), ask('a', 'ef', 'unused'), ask('ab', '')];
  const { inputs, predicting, labels } = await answeredBatch(letters, questions);
  expect(inputs).toEqual({
    batch: 3,
    length: 5,
    inputIds: Int32Array.from(
      [
        [1, 10, 11, 12, 13],
        [0, 1, 10, 14, 15],
        [0, 0, 1, 10, 11], // an empty answer is its end token alone
      ].flat(),
    ),
    attentionMask: Int32Array.from(
      [
        [1, 1, 1, 1, 1],
        [0, 1, 1, 1, 1],
        [0, 0, 1, 1, 1],
      ].flat(),
    ),
  });
  expect([...predicting]).toEqual([3, 4, 7, 8, 9, 14]);
  expect([...labels]).toEqual([13, 2, 14, 15, 2, 2]);
});

test('with a real processor, what is said after a prompt is the answer and an end token', async () => {
  const store = await nodeStore(fixture('models/llava'));
  const { config } = await openVlm(store, { families: [llava] });
  const processor = await llava.loadProcessor(config, store);
  await store.close?.();
  const questions = [ask('what is it?', 'a red cup'), ask('is it one of many cups?', 'yes')];
  const { inputs, predicting, labels } = await answeredBatch(processor, questions);
  const end = processor.tokenizer.eosTokenId!;
  const ends = labels.indexOf(end);
  const decode = (ids: Int32Array) =>
    processor.tokenizer.decode([...ids].filter((id) => id !== end)).trim();
  expect(decode(labels.subarray(0, ends))).toBe('a red cup');
  expect(decode(labels.subarray(ends))).toBe('yes');
  // Every label but an end token is the input that follows the position which predicts it.
  for (const [i, position] of predicting.entries()) {
    if (labels[i] === end) {
      expect((position + 1) % inputs.length).toBe(0);
    } else expect(inputs.inputIds[position + 1]).toBe(labels[i]);
  }
});
