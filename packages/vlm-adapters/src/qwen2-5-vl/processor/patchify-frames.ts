/**
 * One step in time to the patches that the tower takes: each is some frames deep, and its values
 * are ordered by channel, frame, row, column. The patches of a merge unit stand together, units row
 * by row.
 */
import type { RgbImage } from '../../image/rgb-image';

export interface PatchSizes {
  patchSize: number;
  temporalPatchSize: number;
  spatialMergeSize: number;
}

/**
 * @param frames RGB, as many as a patch is deep, all of one size: a multiple of a unit's side.
 * @param tables value of each grey level for each channel.
 * @param target gets the patches from its start.
 */
export function patchifyFrames(
  frames: readonly Required<RgbImage>[],
  { patchSize, spatialMergeSize }: PatchSizes,
  tables: readonly Float32Array[],
  target: Float32Array,
): void {
  const { width, height } = frames[0]!;
  const unit = patchSize * spatialMergeSize;
  let to = 0;
  for (let top = 0; top < height; top += unit) {
    for (let left = 0; left < width; left += unit) {
      for (let y = top; y < top + unit; y += patchSize) {
        for (let x = left; x < left + unit; x += patchSize) to = copyPatch(y, x, to);
      }
    }
  }

  function copyPatch(top: number, left: number, start: number): number {
    let place = start;
    for (let channel = 0; channel < 3; channel++) {
      const table = tables[channel]!;
      for (const { data } of frames) {
        for (let y = top; y < top + patchSize; y++) {
          let from = (y * width + left) * 3 + channel;
          for (let x = 0; x < patchSize; x++, from += 3) target[place++] = table[data[from]!]!;
        }
      }
    }
    return place;
  }
}
