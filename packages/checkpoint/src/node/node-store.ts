/**
 * A folder on disk as a store. Files must lie in the folder by `realpath`. Hugging Face's cache is
 * made of links, `snapshots/<commit>/<file>` to `../../blobs/<hash>`: a link inside the same cached
 * repository is followed, any other that leads out is refused.
 */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { FileStore } from '../byte-source';
import { CheckpointError } from '../checkpoint-error';
import { assertPlainName } from '../plain-name';
import { quoteName } from '../quote-name';
import { type FileSource, fileSource } from './file-source';
import { isInside, realpathOr } from './resolve-inside';

/**
 * Opens a folder; handles stay open until `close()`.
 * @throws CheckpointError `missing-file`, `io`; `open` throws `bad-path` for a link that leads out
 */
export async function nodeStore(folder: string): Promise<FileStore> {
  const root = await realpathOr(folder, quoteName(folder));
  if (!(await stat(root)).isDirectory()) {
    throw new CheckpointError('io', `nodeStore: ${quoteName(folder)} must be a folder.`);
  }
  const allowed = [root, ...(await blobsOf(root))];
  const opened = new Map<string, Promise<FileSource>>();
  return {
    name: folder,
    async open(path) {
      const known = opened.get(assertPlainName(path));
      if (known !== undefined) return known;
      const target = await locate(root, path, allowed);
      if (target === undefined) return undefined;
      const source = opened.get(path) ?? fileSource(target, path);
      opened.set(path, source);
      source.catch(() => opened.delete(path));
      return source;
    },
    async close() {
      const sources = [...opened.values()];
      opened.clear();
      for (const source of await Promise.allSettled(sources)) {
        if (source.status === 'fulfilled') await source.value.close();
      }
    },
  };
}

/** The blobs folder when `root` is `…/models--org--name/snapshots/<commit>` of a cache. */
async function blobsOf(root: string): Promise<string[]> {
  const snapshots = dirname(root);
  const repository = dirname(snapshots);
  const cached =
    basename(snapshots) === 'snapshots' && /^(models|datasets|spaces)--/.test(basename(repository));
  if (!cached) return [];
  try {
    const blobs = await realpathOr(join(repository, 'blobs'), 'blobs');
    return isInside(repository, blobs) ? [blobs] : [];
  } catch {
    return []; // a snapshot without blobs holds plain files
  }
}

async function locate(
  root: string,
  path: string,
  allowed: readonly string[],
): Promise<string | undefined> {
  let target: string;
  try {
    target = await realpathOr(join(root, path), quoteName(path));
  } catch (error) {
    if ((error as CheckpointError).code === 'missing-file') return undefined;
    throw error;
  }
  if (!allowed.some((folder) => isInside(folder, target))) {
    throw new CheckpointError(
      'bad-path',
      `nodeStore: ${quoteName(path)} must lie in the folder itself, got a link that leads out of it.`,
    );
  }
  return target;
}
