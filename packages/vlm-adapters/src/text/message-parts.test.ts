import { expect, test } from 'vitest';
import { messageParts } from './message-parts';

const user = (content: string) => messageParts({ role: 'user', content });
const image = { type: 'image' };
const text = (value: string) => ({ type: 'text', text: value });

test('placeholders of a string in a user turn become parts, in order', () => {
  expect(user('<image>what is it?')).toEqual([image, text('what is it?')]);
  expect(user('<image>\nwhat is it?')).toEqual([image, text('what is it?')]);
  expect(user('what is it?\n<image>')).toEqual([text('what is it?'), image]);
  expect(user('<image><image> a <video> b')).toEqual([
    image,
    image,
    text('a'),
    { type: 'video' },
    text('b'),
  ]);
  expect(user(' plain ')).toEqual([text(' plain ')]);
});

test('text parts and other roles are never searched', () => {
  expect(messageParts({ role: 'assistant', content: 'an <image>' })).toEqual([text('an <image>')]);
  const parts = [{ type: 'text' as const, text: 'an <image>' }];
  expect(messageParts({ role: 'user', content: parts })).toEqual(parts);
});

test('content of another form is refused', () => {
  const content = [{ type: 'audio' }] as never;
  expect(() => messageParts({ role: 'user', content })).toThrow(/got type "audio"/);
  expect(() => messageParts({ role: 'user', content: 3 as never })).toThrow(/got number/);
});
