/** The frames of a video that is a folder of pictures. */
import { readdir } from 'node:fs/promises';
import { posix } from 'node:path';
import { quoteName } from '@mha2mla/checkpoint';
import { resolveInside } from '@mha2mla/checkpoint/node';
import { MAX_FRAMES } from '../data/video-files';

const PICTURE = /\.(?:png|jpe?g|webp)$/i;

/**
 * Names of the pictures in a folder, with its own before them, in the order of their numbers.
 * @throws RangeError for no folder, no frames, or more than a video may have; as `resolveInside` for the folder.
 */
export async function listFrames(root: string, name: string): Promise<string[]> {
  const files = await namesIn(await resolveInside(root, name), name);
  const { compare } = new Intl.Collator('en', { numeric: true });
  const frames = files.filter((file) => PICTURE.test(file)).sort(compare);
  if (frames.length < 1 || frames.length > MAX_FRAMES) {
    throw new RangeError(
      `listFrames: a video must be a folder of 1 to ${MAX_FRAMES} PNG, JPEG or WebP frames, got ${frames.length} in ${quoteName(name)}.`,
    );
  }
  return frames.map((file) => posix.join(name, file));
}

async function namesIn(path: string, name: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (cause) {
    throw new RangeError(
      `listFrames: a video must be a folder that can be read, got ${(cause as NodeJS.ErrnoException).code} of ${quoteName(name)}.`,
      { cause },
    );
  }
}
