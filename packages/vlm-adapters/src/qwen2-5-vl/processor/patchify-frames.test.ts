import { expect, test } from 'vitest';
import { type PatchSizes, patchifyFrames } from './patchify-frames';

/** Frames of [height, width, 3] bytes, all different. */
function numbered(count: number, height: number, width: number) {
  const size = height * width * 3;
  return Array.from({ length: count }, (_, frame) => ({
    data: Uint8Array.from({ length: size }, (_, i) => frame * size + i),
    width,
    height,
    channels: 3,
  }));
}

test('values stand by unit, patch, channel, frame, row and column', () => {
  const [height, width] = [4, 8];
  const sizes: PatchSizes = { patchSize: 2, temporalPatchSize: 2, spatialMergeSize: 2 };
  const frames = numbered(2, height, width);
  const tables = [0, 1, 2].map((channel) =>
    Float32Array.from({ length: 256 }, (_, level) => 1000 * channel + level),
  );
  const target = new Float32Array(2 * height * width * 3);
  patchifyFrames(frames, sizes, tables, target);
  const expected: number[] = [];
  // Two units side by side, four patches each.
  for (const [top, left] of [0, 4].flatMap((unit) => [
    [0, unit],
    [0, unit + 2],
    [2, unit],
    [2, unit + 2],
  ]) as [number, number][]) {
    for (const channel of [0, 1, 2]) {
      for (const frame of [0, 1]) {
        for (const y of [top, top + 1]) {
          for (const x of [left, left + 1]) {
            const byte = frame * height * width * 3 + (y * width + x) * 3 + channel;
            expected.push(1000 * channel + byte);
          }
        }
      }
    }
  }
  expect([...target]).toEqual(expected);
});
