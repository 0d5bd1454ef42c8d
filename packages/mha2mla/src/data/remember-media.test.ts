import { expect, test } from 'vitest';
import type { Question } from './question';
import { rememberMedia } from './remember-media';

const BYTES = 12; // of a picture of 2 x 2

function row(loads: string[], name: string): Question[] {
  const question = (text: string): Question => ({
    messages: [{ role: 'user', content: text }],
    answers: ['yes'],
    loadMedia: async () => {
      loads.push(name);
      return { images: [{ data: new Uint8Array(BYTES), width: 2, height: 2 }] };
    },
  });
  return [question('<image>a'), question('<image>b')];
}

test('what is shown is decoded once a row, as far as memory is given', async () => {
  const loads: string[] = [];
  const rows = rememberMedia([row(loads, 'a'), row(loads, 'b')], BYTES);
  const [first, second] = rows[0]!;
  const media = await first!.loadMedia();
  expect(await second!.loadMedia()).toBe(media);
  expect(await first!.loadMedia()).toBe(media);
  for (let i = 0; i < 2; i++) await rows[1]![0]!.loadMedia();
  expect(loads).toEqual(['a', 'b', 'b']);
  expect(rows.map((one) => one.map(({ messages }) => messages[0]!.content))).toEqual([
    ['<image>a', '<image>b'],
    ['<image>a', '<image>b'],
  ]);
});
