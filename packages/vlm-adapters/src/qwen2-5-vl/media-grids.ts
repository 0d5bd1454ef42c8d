/** The grids of pictures or videos, checked against the pixels that they describe. */
import type { PixelValues } from '../model-inputs';
import type { Qwen25VisionConfig } from './qwen2-5-vl-config';
import { patchValues } from './qwen2-5-vl-tower';
import type { Grid } from './vision-layout';

/**
 * @param thw [n * 3] steps in time, patches in height and in width.
 * @param pixels [patches, values of a patch].
 * @throws RangeError when they do not describe each other, or a grid cannot be merged.
 */
export function mediaGrids(
  config: Qwen25VisionConfig,
  kind: 'image' | 'video',
  thw: Int32Array | undefined,
  pixels: PixelValues,
): Grid[] {
  const grids = toGrids(config, kind, thw);
  const [rows, values] = pixels.shape;
  const patches = grids.reduce((sum, { t, h, w }) => sum + t * h * w, 0);
  const fits = pixels.shape.length === 2 && values === patchValues(config) && rows === patches;
  if (!fits || pixels.data.length !== rows * values) {
    throw new RangeError(
      `mediaGrids: ${kind} pixels must be [${patches}, ${patchValues(config)}] by their grids, got [${pixels.shape}] and ${pixels.data.length} values.`,
    );
  }
  return grids;
}

/** @throws RangeError for a number that is not positive, or sides that cannot be merged. */
export function toGrids(
  { spatialMergeSize }: Pick<Qwen25VisionConfig, 'spatialMergeSize'>,
  kind: 'image' | 'video',
  thw: Int32Array = new Int32Array(),
): Grid[] {
  return Array.from({ length: Math.ceil(thw.length / 3) }, (_, i) => {
    const [t = 0, h = 0, w = 0] = thw.subarray(3 * i, 3 * i + 3);
    const mergeable = h % spatialMergeSize === 0 && w % spatialMergeSize === 0;
    if (t < 1 || h < 1 || w < 1 || !mergeable) {
      throw new RangeError(
        `toGrids: a grid of ${kind}s must be [t, h, w], positive, h and w multiples of ${spatialMergeSize}, got [${[t, h, w]}].`,
      );
    }
    return { t, h, w };
  });
}
