/** Qwen2.5-VL's pictures and videos: resized by area, then cut into patches. */
import type { PreparedMedia } from '../../create-processor';
import type { ImageSize } from '../../image/clip-image-processor-config';
import { convertRgb } from '../../image/convert-rgb';
import { resizeBicubic } from '../../image/resize-bicubic';
import type { RgbImage } from '../../image/rgb-image';
import { sampleTable } from '../../image/sample-table';
import type { Video } from '../../model-inputs';
import type { MediaSettings } from './media-settings';
import { type PatchSizes, patchifyFrames } from './patchify-frames';
import { smartResize } from './smart-resize';

/** A video of 768 frames in its usual size has 200 thousand; these are 1.2 GB of values. */
const MAX_PATCHES = 2 ** 18;

interface Prepared {
  data: Float32Array;
  shape: [number, number];
  thw: Int32Array;
  tokens: number[];
}

/** Prepare pictures: each is one step in time, its pixels repeated to the depth of a patch. */
export function prepareImages(
  images: readonly RgbImage[],
  settings: MediaSettings,
  sizes: PatchSizes,
): PreparedMedia {
  const { data, shape, thw, tokens } = prepare(
    images.map((image) => [image]),
    settings,
    sizes,
  );
  return { inputs: { pixelValues: { data, shape }, imageGridThw: thw }, tokens };
}

/** Prepare videos; of an odd number of frames the last is repeated. */
export function prepareVideos(
  videos: readonly Video[],
  settings: MediaSettings,
  sizes: PatchSizes,
): PreparedMedia {
  for (const video of videos) checkVideo(video);
  const { data, shape, thw, tokens } = prepare(
    videos.map(({ frames }) => frames),
    settings,
    sizes,
  );
  return {
    inputs: {
      pixelValuesVideos: { data, shape },
      videoGridThw: thw,
      secondPerGridTs: Float32Array.from(videos, ({ fps }) => sizes.temporalPatchSize / fps),
    },
    tokens,
  };
}

function checkVideo({ frames, fps }: Video): void {
  if (frames.length === 0)
    throw new RangeError('prepareVideos: a video must have frames, got none.');
  if (!Number.isFinite(fps) || fps <= 0) {
    throw new RangeError(`prepareVideos: fps must be a positive number, got ${fps}.`);
  }
  const { width, height } = frames[0]!;
  const other = frames.findIndex((frame) => frame.width !== width || frame.height !== height);
  if (other < 0) return;
  throw new RangeError(
    `prepareVideos: frames must have the size of the first, ${width} x ${height}, got ${frames[other]!.width} x ${frames[other]!.height} in frame ${other}.`,
  );
}

/** @param media frames of each, one of a picture. */
function prepare(
  media: readonly (readonly RgbImage[])[],
  settings: MediaSettings,
  sizes: PatchSizes,
): Prepared {
  const { patchSize, temporalPatchSize, spatialMergeSize } = sizes;
  const values = 3 * temporalPatchSize * patchSize ** 2;
  const plans = media.map((frames) => {
    const size = targetSize(frames[0]!, settings, patchSize * spatialMergeSize);
    const t = Math.ceil(frames.length / temporalPatchSize);
    const grid = [t, size.height / patchSize, size.width / patchSize];
    return { frames, size, grid, patches: grid.reduce((a, b) => a * b) };
  });
  const total = plans.reduce((sum, { patches }) => sum + patches, 0);
  if (total > MAX_PATCHES) {
    throw new RangeError(
      `prepareMedia: pictures and videos must have at most ${MAX_PATCHES} patches together, got ${total}. Use fewer or smaller ones, or lower max_pixels.`,
    );
  }
  const tables = [0, 1, 2].map((channel) => sampleTable(settings, channel));
  const data = new Float32Array(total * values);
  let start = 0;
  for (const { frames, size, grid, patches } of plans) {
    const resized = frames.map((frame) => resizeBicubic(convertRgb(frame, settings), size));
    const depth = grid[0]! * temporalPatchSize;
    const whole = Array.from({ length: depth }, (_, i) => resized[i] ?? resized.at(-1)!);
    patchifyFrames(whole, sizes, tables, data.subarray(start * values, (start + patches) * values));
    start += patches;
  }
  return {
    data,
    shape: [total, values],
    thw: Int32Array.from(plans.flatMap(({ grid }) => grid)),
    tokens: plans.map(({ patches }) => patches / spatialMergeSize ** 2),
  };
}

function targetSize(image: ImageSize, { limits }: MediaSettings, factor: number): ImageSize {
  const { height, width } = image;
  for (const [name, side] of Object.entries({ width, height })) {
    if (Number.isSafeInteger(side) && side >= 1) continue;
    throw new RangeError(`prepareMedia: ${name} must be a positive integer, got ${side}.`);
  }
  if (limits) return smartResize({ height, width }, { factor, ...limits });
  if (height % factor === 0 && width % factor === 0) return { height, width };
  throw new RangeError(
    `prepareMedia: with do_resize false both sides must be multiples of ${factor}, got ${width} x ${height}.`,
  );
}
