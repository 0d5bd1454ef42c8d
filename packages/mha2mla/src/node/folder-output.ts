/** A result folder that appears whole or not at all, as the place where a conversion writes. */

import { join } from 'node:path';
import {
  createOutputFolder,
  type FileSource,
  type Fingerprint,
  fileSource,
  freeBytes,
} from '@mha2mla/checkpoint/node';
import { type ResultOutput, writeJson } from '../output/result-output';
import { programVersion } from './program-version';
import { runCost } from './run-cost';

export interface FolderOutput extends ResultOutput {
  /** Where pieces are until the result is whole. */
  readonly path: string;
  /** Unlock the folder. Finished pieces stay and can be resumed; without one, nothing stays. */
  close(): Promise<void>;
}

export interface FolderOutputOptions {
  resume: boolean;
  /** What a resumed run must share with the one that began it, beside the version. */
  fingerprint: Fingerprint;
  /** Of the command, by `performance.now()`. Default: now. */
  began?: number;
}

/**
 * Own `OUT.partial` until it becomes OUT, with `cost.json` in it.
 * @throws CheckpointError `output-exists`, `output-locked`, `resume-mismatch`.
 */
export async function folderOutput(
  out: string,
  { resume, fingerprint, began = performance.now() }: FolderOutputOptions,
): Promise<FolderOutput> {
  const folder = await createOutputFolder(out, {
    resume,
    fingerprint: { ...fingerprint, version: programVersion() },
  });
  const resumed = folder.pieces.length > 0;
  const opened: FileSource[] = [];
  const closeOpened = () => Promise.all(opened.splice(0).map((source) => source.close()));
  const write: ResultOutput['write'] = async (name, produce) => {
    await folder.writeFile(name, produce);
  };
  return {
    path: folder.path,
    has: (name) => folder.hasFile(name),
    write,
    async read(name) {
      const source = await fileSource(join(folder.path, name), name);
      opened.push(source);
      return source;
    },
    freeBytes: () => freeBytes(folder.path),
    async finish(scratch) {
      await closeOpened();
      for (const name of scratch) await folder.removeFile(name);
      await writeJson({ write }, 'cost.json', await runCost(folder.path, { began, resumed }));
      await folder.finish();
    },
    async close() {
      await closeOpened();
      if (folder.pieces.length > 0) await folder.close();
      else await folder.abandon();
    },
  };
}
