import { expect, test } from 'vitest';
import { readVideoAsText, videoAsText } from './video-as-text';

test('video tokens leave the vision tokens, what marks start and end stays', () => {
  const config = { visionTokenIds: [7, 8, 5, 6], videoTokenId: 8, imageTokenId: 7 };
  expect(videoAsText(config)).toEqual({ ...config, visionTokenIds: [7, 5, 6] });
});

test('a family without videos is not changed', () => {
  const config = { visionTokenIds: [7] };
  expect(videoAsText(config)).toEqual(config);
});

test('a block of the reference, which has no such key, means text', () => {
  expect(readVideoAsText({})).toBe(true);
  expect(readVideoAsText({ video_as_text: false })).toBe(false);
  expect(() => readVideoAsText({ video_as_text: 1 })).toThrow(/video_as_text/);
});
