/** Read a DATA file from disk; its pictures are read when they are asked for. */
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { resolveInside } from '@mha2mla/checkpoint/node';
import type { RgbImage } from '@mha2mla/vlm-adapters';
import { parseConversations } from '../data/conversation';
import { type Question, questionOf } from '../data/question';
import { decodeImage, MAX_IMAGE_BYTES } from './decode-image';

/** Conversations as text; LLaVA's 665 thousand instructions take some 1 GB and want splitting. */
const MAX_DATA_BYTES = 512 * 2 ** 20;

/**
 * The questions of a DATA file, each the last turn of its conversation.
 * @param limit most questions that are taken, from the first on.
 * @throws for malformed entries; `loadImages` for pictures that are missing or lie outside of the
 *   file's folder.
 */
export async function loadQuestions(
  path: string,
  limit = Number.POSITIVE_INFINITY,
): Promise<Question[]> {
  const { size } = await stat(path);
  if (size > MAX_DATA_BYTES) {
    throw new RangeError(
      `loadQuestions: a DATA file must have at most ${MAX_DATA_BYTES} bytes, got ${size}.`,
    );
  }
  const folder = dirname(path);
  return parseConversations(await readFile(path, 'utf8'), basename(path))
    .slice(0, limit)
    .map((conversation) =>
      questionOf(conversation, () =>
        Promise.all(conversation.images.map((name) => loadPicture(folder, name))),
      ),
    );
}

async function loadPicture(folder: string, name: string): Promise<RgbImage> {
  if (name.startsWith('data:')) return decodeImage(decodeDataUrl(name), 'a data: URL');
  return readPicture(await resolveInside(folder, name), name);
}

/** Read and decode a picture file. @param name for messages; default the path. */
export async function readPicture(path: string, name = path): Promise<RgbImage> {
  const { size } = await stat(path);
  if (size > MAX_IMAGE_BYTES) {
    throw new RangeError(
      `readPicture: ${name} must have at most ${MAX_IMAGE_BYTES} bytes, got ${size}.`,
    );
  }
  return decodeImage(await readFile(path), name);
}

function decodeDataUrl(url: string): Uint8Array {
  const match = /^data:image\/[a-z+.-]+;base64,/.exec(url.slice(0, 64));
  // Four characters carry three bytes.
  if (!match || url.length > (MAX_IMAGE_BYTES / 3) * 4) {
    throw new RangeError(
      `loadQuestions: a data: URL must be a base64 picture of at most ${MAX_IMAGE_BYTES} bytes, got ${JSON.stringify(url.slice(0, 40))}.`,
    );
  }
  return Buffer.from(url.slice(match[0].length), 'base64');
}
