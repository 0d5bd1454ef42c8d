/** Read a DATA file from disk; its pictures and videos are read when they are asked for. */
import { basename, dirname, join, resolve } from 'node:path';
import { CheckpointError, quoteName } from '@mha2mla/checkpoint';
import { resolveInside } from '@mha2mla/checkpoint/node';
import type { RgbImage, Video } from '@mha2mla/vlm-adapters';
import { parseConversations } from '../data/conversation';
import { type Question, questionOf } from '../data/question';
import type { VideoFiles } from '../data/video-files';
import { decodeImage, MAX_IMAGE_BYTES } from './decode-image';
import { listFrames } from './list-frames';
import { readWholeFile } from './read-whole-file';

/** The longest string of Node; LLaVA's 665 thousand instructions take twice that and want splitting. */
const MAX_DATA_BYTES = 2 ** 29 - 24;

/**
 * The questions of a DATA file, each the last turn of its conversation.
 * @param limit most questions that are taken, from the first on.
 * @throws for malformed entries; `loadMedia` for files that are missing or lie outside of the
 *   file's folder. All name the entry.
 */
export async function loadQuestions(
  path: string,
  limit = Number.POSITIVE_INFINITY,
): Promise<Question[]> {
  const folder = dirname(path);
  const bytes = await readWholeFile(path, { maxBytes: MAX_DATA_BYTES });
  return parseConversations(decodeText(bytes, path), basename(path))
    .slice(0, limit)
    .map((conversation) => {
      const { images, videos, where } = conversation;
      return questionOf(conversation, async () => ({
        images: await Promise.all(images.map((name) => loadPicture(folder, name, where))),
        videos: await Promise.all(videos.map((video) => loadVideo(folder, video, where))),
      }));
    });
}

/** UTF-8; a byte order mark, which some editors write, is left out. */
function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new TypeError(`loadQuestions: ${quoteName(path)} must be text in UTF-8.`, { cause });
  }
}

async function loadPicture(folder: string, name: string, where: string): Promise<RgbImage> {
  try {
    if (name.startsWith('data:')) return await decodeImage(decodeDataUrl(name), 'a data: URL');
    return await readPicture(await resolveInside(folder, name), name);
  } catch (cause) {
    throw locatedError(cause, where);
  }
}

async function loadVideo(
  folder: string,
  { frames, fps }: VideoFiles,
  where: string,
): Promise<Video> {
  try {
    const names = typeof frames === 'string' ? await listFrames(folder, frames) : frames;
    const read = async (name: string) => readPicture(await resolveInside(folder, name), name);
    return { frames: await Promise.all(names.map(read)), fps };
  } catch (cause) {
    throw locatedError(cause, where);
  }
}

/** The error of a picture or video, saying which entry names it. */
function locatedError(cause: unknown, where: string): Error {
  const message = `${where}: ${cause instanceof Error ? cause.message : cause}`;
  return cause instanceof CheckpointError
    ? new CheckpointError(cause.code, message, { cause })
    : new RangeError(message, { cause });
}

/** Read a folder of frames. */
export async function readVideo(path: string, fps: number): Promise<Video> {
  const folder = dirname(resolve(path));
  const names = await listFrames(folder, basename(resolve(path)));
  const read = (name: string) => readPicture(join(folder, name), name);
  return { frames: await Promise.all(names.map(read)), fps };
}

/** Read and decode a picture file. @param name for messages; default the path. */
export async function readPicture(path: string, name = path): Promise<RgbImage> {
  const bytes = await readWholeFile(path, { name, maxBytes: MAX_IMAGE_BYTES });
  return decodeImage(bytes, quoteName(name));
}

function decodeDataUrl(url: string): Uint8Array {
  const match = /^data:image\/[a-z+.-]+;base64,/.exec(url.slice(0, 64));
  // Four characters carry three bytes.
  if (!match || url.length - match[0].length > Math.ceil(MAX_IMAGE_BYTES / 3) * 4) {
    throw new RangeError(
      `loadQuestions: a data: URL must be a base64 picture of at most ${MAX_IMAGE_BYTES} bytes, got ${quoteName(url.slice(0, 40))}.`,
    );
  }
  return Buffer.from(url.slice(match[0].length), 'base64');
}
