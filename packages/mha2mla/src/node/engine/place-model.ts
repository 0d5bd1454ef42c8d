import { createHash } from 'node:crypto';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { nodeStore } from '@mha2mla/checkpoint/node';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { ModelRef } from '../../jobs/job';
import type { SharedStore } from '../../jobs/job-store';
import { modelDigest } from '../open-model';
import type { StorePlace } from './open-store';

/** Options of `placeModel`. */
export interface PlaceModelOptions {
  store: SharedStore;
  place: StorePlace;
  /** Called as files are sent. */
  onProgress?: (progress: { phase: 'upload'; loaded: number; total: number }) => void;
}

/**
 * Have a model where workers find it: one that lies in the store's folder stays, another is copied.
 * @param folder of the model, on this machine.
 */
export async function placeModel(
  folder: string,
  source: VlmSource,
  { store, place, onProgress }: PlaceModelOptions,
): Promise<ModelRef> {
  const files = await filesOf(folder);
  const digest = modelDigest(source);
  const version = createHash('sha256')
    .update(JSON.stringify([digest, files]))
    .digest('hex');
  const found = await pathBelow(place, folder);
  if (found !== undefined) return { folder: found, digest, version };
  const target = `models/${version}`;
  const own = await nodeStore(folder);
  try {
    const total = files.reduce((sum, { size }) => sum + size, 0);
    let loaded = 0;
    for (const { name, size } of files) {
      const file = await own.open(name);
      if (file) await store.putModelFile(target, file);
      loaded += size;
      onProgress?.({ phase: 'upload', loaded, total });
    }
  } finally {
    await own.close?.();
  }
  return { folder: target, digest, version };
}

/** Plain files of a folder, by name. */
async function filesOf(folder: string) {
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();
  const files = await Promise.all(
    names.map(async (name) => {
      const found = await stat(join(folder, name));
      return found.isFile() ? [{ name, size: found.size, changed: found.mtimeMs }] : [];
    }),
  );
  return files.flat();
}

/** The path of a folder below that of a store's models; `undefined` where it lies elsewhere. */
async function pathBelow(
  { place, models = place }: StorePlace,
  folder: string,
): Promise<string | undefined> {
  if (place.startsWith('s3:')) return undefined;
  const [root, target] = await Promise.all([realpath(resolve(models)), realpath(folder)]);
  const path = relative(root, target).split(sep).join('/');
  return path === '' || path.startsWith('..') || path.includes(':') ? undefined : path;
}
