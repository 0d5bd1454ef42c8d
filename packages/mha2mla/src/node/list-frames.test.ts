import { fixture } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import { listFrames } from './list-frames';

test('what is no folder is refused by name', async () => {
  const images = fixture('fixtures/hf/qwen2_5_vl/images');
  await expect(listFrames(images, 'p0_img0.png')).rejects.toThrow(
    'listFrames: a video must be a folder that can be read, got ENOTDIR of "p0_img0.png".',
  );
});
