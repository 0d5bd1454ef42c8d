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
  /** Positions on the time axis from one step to the next; fractions are cut. */
  interval: number;
  /** From where it begins to where the text goes on. */
  extent: number;
}

export interface MediaQueues {
  /** @throws RangeError when there is none left. */
  next(kind: MediaKind): Medium;
  /** @throws RangeError when one is left: its tokens are missing. */
  assertEmpty(): void;
}

/** @throws RangeError for grids that cannot be, or other numbers of videos and of their seconds. */
export function mediaQueues(
  { vision, tokensPerSecond }: Pick<Qwen25VlConfig, 'vision' | 'tokensPerSecond'>,
  { imageGridThw, videoGridThw, secondPerGridTs }: ModelInputs,
  videoPositions: VideoPositions,
): MediaQueues {
  const { spatialMergeSize: size } = vision;
  const merged = (kind: MediaKind, thw: Int32Array | undefined) =>
    toGrids(vision, kind, thw).map(({ t, h, w }): Grid => ({ t, h: h / size, w: w / size }));
  const videos = merged('video', videoGridThw);
  if (secondPerGridTs && secondPerGridTs.length !== videos.length) {
    throw new RangeError(
      `mediaQueues: secondPerGridTs must have a number for each video, got ${secondPerGridTs.length} for ${videos.length} videos.`,
    );
  }
  const queues: Record<MediaKind, Medium[]> = {
    image: merged('image', imageGridThw).map((grid) => mediumOf(grid, 0, videoPositions)),
    video: videos.map((grid, i) => {
      const seconds = checkSeconds(secondPerGridTs?.[i] ?? 1);
      const whole = videoPositions === 'transformers-4.57' ? Math.trunc(seconds) : seconds;
      return mediumOf(grid, whole * tokensPerSecond, videoPositions);
    }),
  };
  return {
    next(kind) {
      const medium = queues[kind].shift();
      if (medium) return medium;
      throw new RangeError(
        `mropePositions: ${kind} tokens must have a grid, got more than ${kind}GridThw has.`,
      );
    },
    assertEmpty() {
      for (const [kind, left] of Object.entries(queues)) {
        if (left.length === 0) continue;
        throw new RangeError(
          `mropePositions: every grid must have its ${kind} tokens, got ${left.length} grids without.`,
        );
      }
    },
  };
}

function mediumOf(grid: Grid, interval: number, videoPositions: VideoPositions): Medium {
  const sides = Math.max(grid.h, grid.w);
  const time = Math.trunc((grid.t - 1) * interval) + 1;
  return {
    grid,
    interval,
    extent: videoPositions === 'transformers-5' ? sides : Math.max(sides, time),
  };
}

/** A step of a minute is a frame in half a minute; an hour is beyond any video of 768 frames. */
function checkSeconds(seconds: number): number {
  if (seconds >= 0 && seconds <= 3600) return seconds;
  throw new RangeError(`mediaQueues: secondPerGridTs must lie in 0..3600 seconds, got ${seconds}.`);
}
