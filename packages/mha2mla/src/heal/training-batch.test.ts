import { seededRandom } from '@mha2mla/mla-runtime';
import { fixture } from '@mha2mla/testing';
import { llava, type Processor, type VlmSource } from '@mha2mla/vlm-adapters';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Question } from '../data/question';
import { questionRows } from '../data/question-rows';
import { packReferences } from '../evaluate/pack-references';
import { loadQuestions } from '../node/load-data';
import { openModelFolder } from '../node/open-model';
import { trainingBatch } from './training-batch';

let source: VlmSource;
let close: () => Promise<void>;
let processor: Processor;
let rows: Question[][];

beforeAll(async () => {
  ({ source, close } = await openModelFolder(fixture('models/llava')));
  processor = await llava.loadProcessor(source.config, source.store);
  rows = questionRows(await loadQuestions(fixture('models/scenes/heal.jsonl'), 25));
});
afterAll(() => close());

const batchOf = (mixed: number, seed = 1) =>
  trainingBatch(source, processor, rows, { mixed, others: rows, random: seededRandom(seed) });

test('without mixing it is the questions with their answers, packed by picture', async () => {
  expect(rows.map(({ length }) => length)).toEqual([5, 5, 5, 5, 5]);
  expect(await batchOf(0)).toEqual(await packReferences(source, processor, rows));
});

test('mixed rows have other pictures and no labels; the rest is as it was', async () => {
  const [plain, mixed] = [await batchOf(0), await batchOf(2)];
  const answered = plain.answerLengths.slice(0, 10).reduce((sum, length) => sum + length, 0);
  expect([...mixed.labels.subarray(0, answered)].every((label) => label === -1)).toBe(true);
  expect(mixed.labels.subarray(answered)).toEqual(plain.labels.subarray(answered));
  expect(mixed.inputs.inputIds).toEqual(plain.inputs.inputIds);
  const [own, other] = [plain, mixed].map(({ inputs }) => inputs.pixelValues!.data as Float32Array);
  const size = own!.length / rows.length;
  const changed = rows.map((_, i) =>
    own!.subarray(i * size, (i + 1) * size).some((x, j) => x !== other![i * size + j]),
  );
  expect(changed).toEqual([true, true, false, false, false]);
});

test('the same numbers draw the same pictures, others draw others', async () => {
  const [first, again, other] = [await batchOf(2), await batchOf(2), await batchOf(2, 2)];
  expect(again).toEqual(first);
  expect(other.inputs.pixelValues).not.toEqual(first.inputs.pixelValues);
});

test('questions without pictures are never mixed', async () => {
  const words: Question = {
    messages: [{ role: 'user', content: 'what is two and two?' }],
    answers: ['four'],
    loadMedia: async () => ({ images: [] }),
  };
  const options = { mixed: 1, others: [[words]], random: seededRandom(1) };
  const { labels } = await trainingBatch(source, processor, [[words]], options);
  expect([...labels].every((label) => label >= 0)).toBe(true);
});
