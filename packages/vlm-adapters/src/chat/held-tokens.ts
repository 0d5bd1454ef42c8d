/**
 * What a cache holds of a conversation: token ids, and what stands behind the tokens of pictures and
 * videos, which are all alike. A conversation that begins in the same way need not be run again.
 */
import type { VlmConfig } from '../family';
import type { RgbImage } from '../image/rgb-image';
import type { ModelInputs, ProcessorSample, Video } from '../model-inputs';

/** A picture, or a video, and its tokens in the conversation. */
export interface HeldMedium {
  kind: 'image' | 'video';
  /** Place among the media of its kind. */
  index: number;
  start: number;
  end: number;
  source: RgbImage | Video;
}

export interface HeldTokens {
  ids: readonly number[];
  /** By their places. */
  media: readonly HeldMedium[];
}

/** @param inputs of the one sample. */
export function heldTokens(
  { imageTokenId, videoTokenId }: Pick<VlmConfig, 'imageTokenId' | 'videoTokenId'>,
  { inputIds, mediaTokens }: ModelInputs,
  { images, videos = [] }: ProcessorSample,
): HeldTokens {
  const ids = [...inputIds];
  const place = (
    kind: HeldMedium['kind'],
    id: number | undefined,
    sources: readonly (RgbImage | Video)[],
    tokens: readonly number[] = [],
  ): HeldMedium[] => {
    const places = [...ids.keys()].filter((i) => ids[i] === id);
    let next = 0;
    return sources.map((source, index) => {
      const start = places[next]!;
      next += tokens[index]!;
      return { kind, index, start, end: places[next - 1]! + 1, source };
    });
  };
  const media = [
    ...place('image', imageTokenId, images, mediaTokens?.images),
    ...place('video', videoTokenId, videos, mediaTokens?.videos),
  ];
  return { ids, media: media.sort((a, b) => a.start - b.start) };
}

/** The first `length` tokens, with pixels of their own: the caller may draw over a picture. */
export function firstTokens({ ids, media }: HeldTokens, length: number): HeldTokens {
  return {
    ids: ids.slice(0, length),
    media: media
      .filter(({ end }) => end <= length)
      .map((medium) => ({ ...medium, source: copyOf(medium.source) })),
  };
}

/**
 * How many tokens two conversations begin with alike: never a part of a picture, and never all of
 * the second, whose last token tells what comes next.
 */
export function commonLength(held: HeldTokens, now: HeldTokens): number {
  let length = Math.min(held.ids.length, now.ids.length - 1);
  for (let i = 0; i < length; i++) if (held.ids[i] !== now.ids[i]) length = i;
  for (const [i, medium] of now.media.entries()) {
    if (medium.start >= length) break;
    const other = held.media[i];
    const isSame =
      medium.end <= length &&
      other?.start === medium.start &&
      other.end === medium.end &&
      samePixels(other.source, medium.source);
    if (!isSame) length = medium.start;
  }
  return length;
}

function copyOf(source: RgbImage | Video): RgbImage | Video {
  if (!('frames' in source)) return { ...source, data: source.data.slice() };
  return { ...source, frames: source.frames.map((frame) => copyOf(frame) as RgbImage) };
}

function samePixels(a: RgbImage | Video, b: RgbImage | Video): boolean {
  if ('frames' in a || 'frames' in b) {
    if (!('frames' in a && 'frames' in b) || a.fps !== b.fps) return false;
    const isSame = (frame: RgbImage, i: number) => samePixels(frame, b.frames[i]!);
    return a.frames.length === b.frames.length && a.frames.every(isSame);
  }
  return (
    a.width === b.width &&
    a.height === b.height &&
    a.channels === b.channels &&
    a.data.length === b.data.length &&
    a.data.every((value, i) => value === b.data[i])
  );
}
