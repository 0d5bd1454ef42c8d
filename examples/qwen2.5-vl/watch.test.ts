import { expect, test } from 'vitest';
import { runExample } from '../demo/run-example.js';

test('a Qwen2.5-VL answers about a picture, and about a picture and a video', async () => {
  const output = await runExample('examples/qwen2.5-vl/watch.js');
  const [picture, answer, both, second] = output.split('\n');
  // A picture of 12 x 12 patches is 36 tokens; a video of 4 wide frames 2 steps of 40.
  expect(picture).toMatch(/^\d+ tokens; grids 1,12,12 $/);
  expect(both).toMatch(/^\d+ tokens; grids 1,12,12 2,10,16$/);
  expect(answer).toMatch(/^[a-z]+$/);
  expect(second).not.toBe('');
  const [tokens, more] = [picture, both].map((line) => Number.parseInt(line!, 10));
  expect(more! - tokens!).toBe(80 + 2); // and start and end of the video
});
