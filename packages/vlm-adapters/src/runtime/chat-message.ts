/** Messages that carry their pictures and videos, and the sample that a processor takes of them. */
import { showJson } from '@mha2mla/checkpoint';
import type { RgbImage } from '../image/rgb-image';
import type { ProcessorSample, Video } from '../model-inputs';
import type { Message, MessagePart } from '../text/message-parts';
import { ModelError } from './model-error';

/** Decoded pixels anywhere; files and bitmaps where pictures can be decoded, as in a page. */
export type ChatImage = RgbImage | Blob | ImageBitmap;

/** A part of a message: text, a picture, or a video. */
export type ChatPart =
  | { type: 'text'; text: string }
  | { type: 'image'; image: ChatImage }
  | { type: 'video'; video: Omit<Video, 'frames'> & { frames: readonly ChatImage[] } };

/** A turn of a conversation. */
export interface ChatMessage {
  /** Such as 'system', 'user', 'assistant'. */
  role: string;
  /** A string is text, whatever it spells. */
  content: string | readonly ChatPart[];
}

/** Decodes a picture to pixels, as `createImageBitmap` and a canvas do in a page. */
export type DecodeImage = (image: Blob | ImageBitmap) => Promise<RgbImage>;

/**
 * Take the media out of a conversation, in the order of their places, and decode them.
 * @throws ModelError `bad-request` for messages of another form, and what `decode` throws.
 */
export async function chatSample(
  messages: readonly ChatMessage[],
  decode: DecodeImage,
): Promise<ProcessorSample> {
  if (!Array.isArray(messages)) {
    throw badRequest('messages must be a list of { role, content }', typeof messages);
  }
  const images: Promise<RgbImage>[] = [];
  const videos: Promise<Video>[] = [];
  const pixels = async (image: ChatImage): Promise<RgbImage> => {
    if (typeof image !== 'object' || image === null) {
      throw badRequest('an image must be pixels, a Blob or an ImageBitmap', typeof image);
    }
    return 'data' in image ? { ...image, data: image.data.slice() } : decode(image);
  };
  const takeOut = (part: ChatPart): MessagePart => {
    if (part?.type === 'text') return { type: 'text', text: part.text };
    if (part?.type === 'image') {
      images.push(quiet(pixels(part.image)));
      return { type: 'image' };
    }
    if (part?.type !== 'video') {
      const known = "a part must be of type 'text', 'image' or 'video'";
      throw badRequest(known, showJson((part as { type?: unknown } | null)?.type));
    }
    const { frames, ...rest } = part.video;
    const decoded = Promise.all(frames.map(pixels));
    videos.push(quiet(decoded.then((all) => ({ ...rest, frames: all }))));
    return { type: 'video' };
  };
  const without = messages.map(({ role, content }: ChatMessage): Message => {
    const parts =
      typeof content === 'string' ? [{ type: 'text' as const, text: content }] : content;
    if (!Array.isArray(parts)) throw badRequest('content must be text or parts', typeof content);
    return { role, content: parts.map(takeOut) };
  });
  const [decodedImages, decodedVideos] = await Promise.all([
    Promise.all(images),
    Promise.all(videos),
  ]);
  return { messages: without, images: decodedImages, videos: decodedVideos };
}

/** Handled later: another part may be refused first. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

function badRequest(must: string, got: string | undefined): ModelError {
  return new ModelError('bad-request', `chat: ${must}, got ${got}.`);
}
