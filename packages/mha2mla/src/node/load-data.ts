/** Read a DATA file from disk; its pictures are read when they are asked for. */
import { basename, dirname } from 'node:path';
import { CheckpointError, quoteName } from '@mha2mla/checkpoint';
import { resolveInside } from '@mha2mla/checkpoint/node';
import type { RgbImage } from '@mha2mla/vlm-adapters';
import { parseConversations } from '../data/conversation';
import { type Question, questionOf } from '../data/question';
import { decodeImage, MAX_IMAGE_BYTES } from './decode-image';
import { readWholeFile } from './read-whole-file';

/** The longest string of Node; LLaVA's 665 thousand instructions take twice that and want splitting. */
const MAX_DATA_BYTES = 2 ** 29 - 24;

/**
 * The questions of a DATA file, each the last turn of its conversation.
 * @param limit most questions that are taken, from the first on.
 * @throws for malformed entries; `loadImages` for pictures that are missing or lie outside of the
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
      const { images, where } = conversation;
      return questionOf(conversation, () =>
        Promise.all(images.map((name) => loadPicture(folder, name, where))),
      );
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

/** The error of a picture, saying which entry names it. */
function locatedError(cause: unknown, where: string): Error {
  const message = `${where}: ${cause instanceof Error ? cause.message : cause}`;
  return cause instanceof CheckpointError
    ? new CheckpointError(cause.code, message, { cause })
    : new RangeError(message, { cause });
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
      `loadQuestions: a data: URL must be a base64 picture of at most ${MAX_IMAGE_BYTES} bytes, got ${JSON.stringify(url.slice(0, 40))}.`,
    );
  }
  return Buffer.from(url.slice(match[0].length), 'base64');
}
