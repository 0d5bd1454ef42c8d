/**
 * A folder that all machines of a run can reach, as the place of its contents: `runs/RUN/contents`
 * and `runs/RUN/records`, every file whole or absent.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ByteSource } from '@mha2mla/checkpoint';
import { atomicWriteFile, fileSource, nodeStore, resolveInside } from '@mha2mla/checkpoint/node';
import type { ContentRef, JobStore, SharedStore } from '../../jobs/job-store';
import { fileDigest } from '../file-digest';
import { assertDigest, damaged, MOST_RECORD_BYTES, missing, RUNS } from './store-place';

export function folderStore(root: string): SharedStore {
  return {
    name: root,
    ofRun: (run) => runStore(root, join(root, RUNS, assertDigest('a run', run))),
    removeRun: (run) =>
      rm(join(root, RUNS, assertDigest('a run', run)), { recursive: true, force: true }),
    openModel: async (folder) => nodeStore(await resolveInside(root, folder)),
  };
}

function runStore(name: string, folder: string): JobStore {
  const contents = join(folder, 'contents');
  const records = join(folder, 'records');
  const pathOf = ({ sha256 }: ContentRef) => join(contents, assertDigest('a content', sha256));
  const recordOf = (key: string) => join(records, `${assertDigest('a job', key)}.json`);
  const sound = new Set<string>();
  return {
    name,
    async put(produce) {
      await mkdir(contents, { recursive: true });
      // Of this machine and process alone, until its name is known.
      const incoming = join(contents, `incoming-${randomUUID()}`);
      const { sha256, sizeBytes } = await atomicWriteFile(incoming, produce);
      const ref = { sha256, sizeBytes };
      await rename(incoming, pathOf(ref));
      return ref;
    },
    async open(ref) {
      const path = pathOf(ref);
      const found = await stat(path).catch(() => undefined);
      if (!found) throw missing(name, ref);
      if (found.size !== ref.sizeBytes) throw damaged(name, ref, `${found.size} bytes`);
      if (!sound.has(ref.sha256)) {
        const sha256 = await fileDigest(path);
        if (sha256 !== ref.sha256) throw damaged(name, ref, sha256);
        sound.add(sha256);
      }
      return sourceOf(path, ref);
    },
    remove: (ref) => rm(pathOf(ref), { force: true }),
    async readRecord(key) {
      const path = recordOf(key);
      const found = await stat(path).catch(() => undefined);
      if (!found) return undefined;
      return found.size > MOST_RECORD_BYTES ? '' : await readFile(path, 'utf8');
    },
    async writeRecord(key, text) {
      await mkdir(records, { recursive: true });
      await atomicWriteFile(recordOf(key), text);
    },
  };
}

/** A file that is open only while it is read, so that nobody has to close it. */
function sourceOf(path: string, { sha256, sizeBytes }: ContentRef): ByteSource {
  return {
    name: sha256,
    size: sizeBytes,
    async read(start, end, signal) {
      const file = await fileSource(path, sha256);
      try {
        return await file.read(start, end, signal);
      } finally {
        await file.close();
      }
    },
  };
}
