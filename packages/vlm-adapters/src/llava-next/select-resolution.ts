import type { ImageSize } from '../image/clip-image-processor-config';

/**
 * The resolution in which most of a picture's pixels survive (no more than it has), and of those
 * the one with the least left over; the first of equals. Floating point as in transformers'
 * `select_best_resolution`, since its roundings decide between equals.
 * @param resolutions one at least.
 */
export function selectResolution(
  { height, width }: ImageSize,
  resolutions: readonly ImageSize[],
): ImageSize {
  let best = resolutions[0]!;
  let [mostKept, leastWasted] = [-1, Number.POSITIVE_INFINITY];
  for (const resolution of resolutions) {
    const scale = Math.min(resolution.width / width, resolution.height / height);
    const scaled = Math.trunc(width * scale) * Math.trunc(height * scale);
    const kept = Math.min(scaled, width * height);
    const wasted = resolution.width * resolution.height - kept;
    if (kept > mostKept || (kept === mostKept && wasted < leastWasted)) {
      [best, mostKept, leastWasted] = [resolution, kept, wasted];
    }
  }
  return best;
}
