import type { RgbImage } from '@mha2mla/vlm-adapters';

/** Turn a picture over: left to right, upside down, or both. @returns a new picture. */
export function flipImage(
  image: RgbImage,
  { horizontal, vertical }: { horizontal: boolean; vertical: boolean },
): RgbImage {
  const { data, width, height } = image;
  const channels = data.length / (width * height);
  const flipped = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * channels;
      const row = vertical ? height - 1 - y : y;
      const column = horizontal ? width - 1 - x : x;
      flipped.set(data.subarray(from, from + channels), (row * width + column) * channels);
    }
  }
  return { ...image, data: flipped };
}
