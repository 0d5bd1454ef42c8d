/**
 * A folder that all machines of a run can reach, as the place of its contents: `runs/RUN/contents`
 * and `runs/RUN/records`, every file whole or absent.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { assertPlainName } from '@mha2mla/checkpoint';
import { atomicWriteFile, nodeStore, resolveInside } from '@mha2mla/checkpoint/node';
import type { ContentRef, JobStore, SharedStore } from '../../jobs/job-store';
import { copyBytes } from '../../output/copy-files';
import { fileDigest } from '../file-digest';
import { sourceOfFile } from './source-of-file';
import {
  assertDigest,
  assertModelFolder,
  damaged,
  MOST_RECORD_BYTES,
  missing,
  RUNS,
} from './store-place';

/** @param models folder below which models lie. Default the same. */
export function folderStore(root: string, models = root): SharedStore {
  const folderOf = (run: string) => join(root, RUNS, assertDigest('a run', run));
  return {
    name: root,
    ofRun: (run) => runStore(root, folderOf(run)),
    removeRun: (run) => rm(folderOf(run), { recursive: true, force: true }),
    openModel: async (folder) => nodeStore(await resolveInside(models, folder)),
    async putModelFile(folder, file) {
      const target = join(models, assertModelFolder(folder));
      const path = join(target, assertPlainName(file.name));
      const there = await stat(path).catch(() => undefined);
      if (there?.size === file.size) return;
      await mkdir(target, { recursive: true });
      await atomicWriteFile(path, (sink) => copyBytes(file, sink), { sizeBytes: file.size });
    },
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
      return sourceOfFile(path, ref);
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
