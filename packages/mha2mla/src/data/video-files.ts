/** Videos of a DATA entry: frames as picture files, since no decoder of video formats is ours. */

import { showJson } from '@mha2mla/checkpoint';

export interface VideoFiles {
  /** A folder of pictures, or the pictures in order; paths relative to the DATA file. */
  frames: string | readonly string[];
  fps: number;
}

/** Longest video that Qwen2.5-VL's own tools take. All of its frames are held decoded. */
export const MAX_FRAMES = 768;

/** What Hugging Face's processors assume of a video that does not say. */
export const DEFAULT_FPS = 2;

/**
 * Parse `videos`: a folder of frames, `{"frames": folder or list of files, "fps": number}`, or a
 * list of such.
 * @param where the entry stands, for messages.
 * @throws TypeError for another form, RangeError for too many frames or a rate that is not positive.
 */
export function parseVideos(videos: unknown, where: string): VideoFiles[] {
  const list = Array.isArray(videos) ? videos : [videos];
  return list.map((video: unknown): VideoFiles => {
    const { frames, fps = DEFAULT_FPS } =
      typeof video === 'string' ? { frames: video } : (Object(video) as Record<string, unknown>);
    const isFiles =
      Array.isArray(frames) && frames.length > 0 && frames.every((one) => typeof one === 'string');
    if (typeof frames !== 'string' && !isFiles) {
      throw new TypeError(
        `parseVideos: a video of ${where} must be a folder of frames, or {"frames": folder or files, "fps": number}, got ${showJson(video)}.`,
      );
    }
    if (isFiles && frames.length > MAX_FRAMES) {
      throw new RangeError(
        `parseVideos: a video of ${where} must have at most ${MAX_FRAMES} frames, got ${frames.length}.`,
      );
    }
    if (typeof fps !== 'number' || !Number.isFinite(fps) || fps <= 0) {
      throw new RangeError(
        `parseVideos: fps of a video of ${where} must be a positive number, got ${showJson(fps)}.`,
      );
    }
    return { frames, fps };
  });
}
