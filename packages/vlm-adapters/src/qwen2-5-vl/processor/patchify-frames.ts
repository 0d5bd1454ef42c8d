/**
 * Frames to the patches that the tower takes: each is some frames deep, and its values are ordered
 * by channel, frame, row, column. The patches of a merge unit stand together, units row by row.
 */
import type { RgbImage } from '../../image/rgb-image';

export interface PatchSizes {
  patchSize: number;
  temporalPatchSize: number;
  spatialMergeSize: number;
}

/**
 * @param frames RGB, all of one size, a multiple of the patch depth in number.
 * @param tables value of each grey level for each channel.
 * @param target gets the patches from its start.
 */
export function patchifyFrames(
  frames: readonly Required<RgbImage>[],
  { patchSize, temporalPatchSize, spatialMergeSize }: PatchSizes,
  tables: readonly Float32Array[],
  target: Float32Array,
): void {
  const { width, height } = frames[0]!;
  const unit = patchSize * spatialMergeSize;
  let to = 0;
  for (let first = 0; first < frames.length; first += temporalPatchSize) {
    for (let top = 0; top < height; top += unit) {
      for (let left = 0; left < width; left += unit) {
        for (let y = top; y < top + unit; y += patchSize) {
          for (let x = left; x < left + unit; x += patchSize) {
            to = copyPatch(first, y, x, to);
          }
        }
      }
    }
  }

  function copyPatch(first: number, top: number, left: number, start: number): number {
    let place = start;
    for (let channel = 0; channel < 3; channel++) {
      const table = tables[channel]!;
      for (let frame = first; frame < first + temporalPatchSize; frame++) {
        const { data } = frames[frame]!;
        for (let y = top; y < top + patchSize; y++) {
          let from = (y * width + left) * 3 + channel;
          for (let x = 0; x < patchSize; x++, from += 3) target[place++] = table[data[from]!]!;
        }
      }
    }
    return place;
  }
}
