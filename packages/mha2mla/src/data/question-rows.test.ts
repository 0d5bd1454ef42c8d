import { expect, test } from 'vitest';
import type { Question } from './question';
import { questionRows } from './question-rows';

function ask(text: string, mediaKey?: string): Question {
  return {
    messages: [{ role: 'user', content: text }],
    answers: ['yes'],
    ...(mediaKey !== undefined && { mediaKey }),
    loadMedia: async () => ({ images: [] }),
  };
}

const textsOf = (rows: Question[][]) =>
  rows.map((row) => row.map(({ messages }) => messages[0]!.content));

test('questions about the same pictures that begin alike share a row, wherever they stand', () => {
  const questions = [
    ask('<image>is it red?', 'a'),
    ask('<image>is it red?', 'b'),
    ask('<image>is it blue?', 'a'),
    ask('look: <image>is it blue?', 'a'), // another beginning
    ask('is it blue?', 'a'), // no picture in it
    ask('<image>who knows which?'),
    ask('<image>who knows?'),
  ];
  expect(textsOf(questionRows(questions))).toEqual([
    ['<image>is it red?', '<image>is it blue?'],
    ['<image>is it red?'],
    ['look: <image>is it blue?'],
    ['is it blue?'],
    ['<image>who knows which?'],
    ['<image>who knows?'],
  ]);
});

test('a picture with many questions gets several rows, and no question is lost', () => {
  const questions = Array.from({ length: 19 }, (_, i) => ask(`<image>${i}`, 'a'));
  const rows = questionRows(questions);
  expect(rows.map(({ length }) => length)).toEqual([8, 8, 3]);
  expect(rows.flat()).toEqual(questions);
});
