/** Qwen2.5-VL's pictures and videos: resized by area, then cut into patches. */
import type { PreparedMedia } from '../../create-processor';
import type { ImageSize } from '../../image/clip-image-processor-config';
import { convertRgb } from '../../image/convert-rgb';
import { resizeBicubic } from '../../image/resize-bicubic';
import { checkImage, type RgbImage } from '../../image/rgb-image';
import type { Video } from '../../model-inputs';
import type { MediaSettings } from './media-settings';
import { type PatchSizes, patchifyFrames } from './patchify-frames';
import { smartResize } from './smart-resize';

/**
 * Of all pictures, and of all videos. The largest published picture has 65,536, a video of 768
 * frames in its least published size 196,608.
 */
const MAX_PATCHES = 2 ** 18;

/** 2 GiB. MAX_PATCHES of the published 1,176 values take 1.15; of other sizes each may be huge. */
const MAX_VALUES = 2 ** 29;

interface Prepared {
  data: Float32Array;
  shape: [number, number];
  thw: Int32Array;
  tokens: number[];
}

/**
 * Prepare pictures: each is one step in time, its pixels repeated to the depth of a patch.
 * @throws TypeError, RangeError for a picture that is none, and beyond what is afforded
 */
export function prepareImages(
  images: readonly RgbImage[],
  settings: MediaSettings,
  sizes: PatchSizes,
): PreparedMedia {
  for (const image of images) checkImage(image);
  const { data, shape, thw, tokens } = prepare(
    images.map((image) => [image]),
    settings,
    sizes,
  );
  return { inputs: { pixelValues: { data, shape }, imageGridThw: thw }, tokens };
}

/**
 * Prepare videos; frames that the last step lacks are the last frame again.
 * @throws TypeError, RangeError for a video that is none, and beyond what is afforded
 */
export function prepareVideos(
  videos: readonly Video[],
  settings: MediaSettings,
  sizes: PatchSizes,
): PreparedMedia {
  for (const { frames } of videos) checkFrames(frames);
  const secondPerGridTs = Float32Array.from(videos, ({ fps }) => secondsOfStep(fps, sizes));
  const { data, shape, thw, tokens } = prepare(
    videos.map(({ frames }) => frames),
    settings,
    sizes,
  );
  return {
    inputs: { pixelValuesVideos: { data, shape }, videoGridThw: thw, secondPerGridTs },
    tokens,
  };
}

function checkFrames(frames: readonly RgbImage[]): void {
  if (frames.length === 0) {
    throw new RangeError('prepareVideos: a video must have frames, got none.');
  }
  for (const frame of frames) checkImage(frame);
  const { width, height } = frames[0]!;
  const other = frames.findIndex((frame) => frame.width !== width || frame.height !== height);
  if (other < 0) return;
  throw new RangeError(
    `prepareVideos: frames must have the size of the first, ${width} x ${height}, got ${frames[other]!.width} x ${frames[other]!.height} in frame ${other}.`,
  );
}

/** In float32, in which the smallest numbers of frames a second make infinite steps. */
function secondsOfStep(fps: number, { temporalPatchSize }: PatchSizes): number {
  const seconds = Math.fround(temporalPatchSize / fps);
  if (Number.isFinite(fps) && seconds > 0 && Number.isFinite(seconds)) return seconds;
  throw new RangeError(
    `prepareVideos: fps must be a positive number of frames a second, got ${fps}.`,
  );
}

/** @param media frames of each, one of a picture. */
function prepare(
  media: readonly (readonly RgbImage[])[],
  settings: MediaSettings,
  sizes: PatchSizes,
): Prepared {
  const { patchSize, temporalPatchSize: depth, spatialMergeSize } = sizes;
  const values = 3 * depth * patchSize ** 2;
  const plans = media.map((frames) => {
    const size = targetSize(frames[0]!, settings, patchSize * spatialMergeSize);
    const [t, h, w] = [frames.length / depth, size.height / patchSize, size.width / patchSize];
    return { frames, size, grid: [Math.ceil(t), h, w], patches: Math.ceil(t) * h * w };
  });
  const total = plans.reduce((sum, { patches }) => sum + patches, 0);
  assertAffordable(total, values);
  const data = new Float32Array(total * values);
  let start = 0;
  for (const { frames, size, grid, patches } of plans) {
    const stepValues = (patches / grid[0]!) * values;
    for (let first = 0; first < frames.length; first += depth) {
      const resized = frames
        .slice(first, first + depth)
        .map((frame) => resizeBicubic(convertRgb(frame, settings), size));
      const step = Array.from({ length: depth }, (_, i) => resized[i] ?? resized.at(-1)!);
      patchifyFrames(step, sizes, settings.tables, data.subarray(start, start + stepValues));
      start += stepValues;
    }
  }
  return {
    data,
    shape: [total, values],
    thw: Int32Array.from(plans.flatMap(({ grid }) => grid)),
    tokens: plans.map(({ patches }) => patches / spatialMergeSize ** 2),
  };
}

function assertAffordable(patches: number, values: number): void {
  const most = Math.min(MAX_PATCHES, Math.floor(MAX_VALUES / values));
  if (patches <= most) return;
  throw new RangeError(
    `prepareMedia: pictures, or videos, must have at most ${most} patches together, got ${patches}. Use fewer or smaller ones, or lower max_pixels.`,
  );
}

function targetSize(image: ImageSize, { limits }: MediaSettings, factor: number): ImageSize {
  const { height, width } = image;
  if (limits) return smartResize({ height, width }, { factor, ...limits });
  if (height % factor === 0 && width % factor === 0) return { height, width };
  throw new RangeError(
    `prepareMedia: with do_resize false both sides must be multiples of ${factor}, got ${width} x ${height}.`,
  );
}
