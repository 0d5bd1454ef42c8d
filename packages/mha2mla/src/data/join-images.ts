import type { RgbImage } from '@mha2mla/vlm-adapters';

/**
 * The left half of one picture and the right half of another, or the upper and the lower one (CutMix,
 * arXiv 1905.04899). @returns a new picture, or `first` where their sizes differ.
 */
export function joinImages(
  first: RgbImage,
  second: RgbImage,
  { vertical }: { vertical: boolean },
): RgbImage {
  const { width, height } = first;
  const channels = first.data.length / (width * height);
  const isAlike =
    second.width === width && second.height === height && second.data.length === first.data.length;
  if (!isAlike) return first;
  const data = Uint8Array.from(first.data);
  const [top, left] = vertical ? [height >> 1, 0] : [0, width >> 1];
  for (let y = top; y < height; y++) {
    const [from, to] = [(y * width + left) * channels, (y + 1) * width * channels];
    data.set(second.data.subarray(from, to), from);
  }
  return { ...first, data };
}
