/** Pictures and videos on their way to positions: each takes its turn when its tokens come. */
import type { ModelInputs } from '../model-inputs';
import { toGrids } from './media-grids';
import type { Qwen25VlConfig } from './qwen2-5-vl-config';
import type { Grid } from './vision-layout';

/**
 * Whose positions of videos are taken, where versions of transformers differ: 4.51 as published;
 * 4.57 cuts the seconds of a step to an integer; 5 lets the text go on behind the larger side of a
 * video's grid, though its time may reach further.
 */
export type VideoPositions = 'transformers-4.51' | 'transformers-4.57' | 'transformers-5';

export type MediaKind = 'image' | 'video';

export interface Medium {
  /** In merge units, each of which is a token. */
  grid: Grid;
  /** Place of a step on the time axis, counted from the medium's first. */
  timeOf(step: number): number;
  /** From where it begins to where the text goes on. */
  extent: number;
}

/** Beyond 2^24 float32, in which angles are made, holds not every position. */
const MAX_TIME = 2 ** 24;

/**
 * The pictures and videos of a batch, in the order of their tokens.
 * @throws RangeError for grids that cannot be, and for seconds that do not suit the videos.
 */
export function mediaOf(
  { vision, tokensPerSecond }: Pick<Qwen25VlConfig, 'vision' | 'tokensPerSecond'>,
  { imageGridThw, videoGridThw, secondPerGridTs }: ModelInputs,
  videoPositions: VideoPositions,
): Record<MediaKind, Medium[]> {
  const { spatialMergeSize: size } = vision;
  const merged = (kind: MediaKind, thw: Int32Array | undefined) =>
    toGrids(vision, kind, thw).map(({ t, h, w }): Grid => ({ t, h: h / size, w: w / size }));
  const videos = merged('video', videoGridThw);
  if (secondPerGridTs && secondPerGridTs.length !== videos.length) {
    throw new RangeError(
      `mediaOf: secondPerGridTs must have a number for each video, got ${secondPerGridTs.length} for ${videos.length} videos.`,
    );
  }
  return {
    image: merged('image', imageGridThw).map((grid) => mediumOf(grid, () => 0, false)),
    video: videos.map((grid, i) => {
      const seconds = checkSeconds(secondPerGridTs?.[i] ?? 1);
      const timeOf = timeAxis(seconds, tokensPerSecond, videoPositions);
      return mediumOf(grid, timeOf, videoPositions === 'transformers-5');
    }),
  };
}

function mediumOf(grid: Grid, timeOf: Medium['timeOf'], bySides: boolean): Medium {
  const sides = Math.max(grid.h, grid.w);
  const last = timeOf(grid.t - 1);
  if (last > MAX_TIME) {
    throw new RangeError(
      `mediaOf: a video must end by position ${MAX_TIME} on the time axis, got ${last} for ${grid.t} steps.`,
    );
  }
  return { grid, timeOf, extent: bySides ? sides : Math.max(sides, last + 1) };
}

/**
 * In float32 and in the order of each version, since fractions are cut: of steps of 2 / 25 s, two
 * positions a second, the 25th stands at 4, where exact arithmetic on the same float32 stops at 3.
 */
function timeAxis(
  seconds: number,
  tokensPerSecond: number,
  videoPositions: VideoPositions,
): Medium['timeOf'] {
  const { fround, trunc } = Math;
  if (videoPositions === 'transformers-5') {
    const interval = fround(seconds * tokensPerSecond);
    return (step) => trunc(fround(step * interval));
  }
  const each = videoPositions === 'transformers-4.57' ? trunc(seconds) : fround(seconds);
  return (step) => trunc(fround(fround(step * each) * tokensPerSecond));
}

/** A step of a minute is a frame in half a minute; an hour is beyond any video of 768 frames. */
function checkSeconds(seconds: number): number {
  if (seconds >= 0 && seconds <= 3600) return seconds;
  throw new RangeError(`mediaOf: secondPerGridTs must lie in 0..3600 seconds, got ${seconds}.`);
}
