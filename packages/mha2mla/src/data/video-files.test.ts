import { expect, test } from 'vitest';
import { MAX_FRAMES, parseVideos } from './video-files';

const listed = (count: number) => [{ frames: new Array<string>(count).fill('a.png') }];

test('a list of frames has no more of them than a folder may have', () => {
  expect(parseVideos(listed(MAX_FRAMES), 'x')[0]!.frames).toHaveLength(768);
  expect(() => parseVideos(listed(MAX_FRAMES + 1), '"d.json:3"')).toThrow(
    'parseVideos: a video of "d.json:3" must have at most 768 frames, got 769.',
  );
});
