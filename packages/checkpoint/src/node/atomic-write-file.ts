/**
 * Writes a file that appears under its name only when whole: a temporary file beside it, all bytes,
 * sync, rename, sync of the folder. Replaces `write-file-atomic`, which publishes a truncated file
 * when a write is cut short.
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { threadId } from 'node:worker_threads';
import type { ByteSink } from '../write-safetensors';
import { diskFullOr } from './disk-full';
import { FileSink } from './file-sink';
import { syncFolder } from './sync-folder';

/** What `atomicWriteFile` wrote. */
export interface WrittenFile {
  sizeBytes: number;
  /** In hex. */
  sha256: string;
}

/** Options of `atomicWriteFile`. */
export interface AtomicWriteOptions {
  /** Size of the whole file when it is known, for the message of a full disk. */
  sizeBytes?: number;
  /** Called when all bytes are on the disk, before the file gets its name. */
  beforeRename?: (written: WrittenFile) => Promise<void>;
}

/** Names of temporary files; a leftover of a killed process may be removed by the folder's owner. */
export const TEMPORARY_NAME = /^\..+\.tmp-\d+-\d+-\d+$/;

let counter = 0;

/**
 * Writes `path` whole or not at all; a file that is there is replaced.
 * @param content bytes, text (UTF-8), or a function that writes to the sink it is given
 * @throws CheckpointError `disk-full`; any error of `content`
 */
export async function atomicWriteFile(
  path: string,
  content: Uint8Array | string | ((sink: ByteSink) => Promise<void>),
  { sizeBytes, beforeRename }: AtomicWriteOptions = {},
): Promise<WrittenFile> {
  const target = resolve(path);
  const produce = producerOf(content);
  const temporary = temporaryName(target);
  await rm(temporary, { force: true }); // of an earlier process with our number
  try {
    // Exclusive: a link that someone put there is not followed.
    const handle = await open(temporary, 'wx').catch(async (error) => {
      throw await diskFullOr(error, target, produce.sizeBytes);
    });
    const sink = new FileSink(handle, target, sizeBytes ?? produce.sizeBytes);
    await writeAndSync(handle, target, () => produce.run(sink));
    const written = { sizeBytes: sink.sizeBytes, sha256: sink.digest() };
    await beforeRename?.(written);
    await rename(temporary, target);
    await syncFolder(dirname(target));
    return written;
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {}); // the first error is the one to report
    throw error;
  }
}

async function writeAndSync(handle: FileHandle, target: string, run: () => Promise<void>) {
  try {
    await run();
    // A disk may report that it is full only now.
    await handle.sync().catch(async (error) => {
      throw await diskFullOr(error, target, 0);
    });
  } finally {
    await handle.close();
  }
}

function producerOf(content: Parameters<typeof atomicWriteFile>[1]) {
  if (typeof content === 'function') return { sizeBytes: 0, run: content };
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  return { sizeBytes: bytes.byteLength, run: (sink: ByteSink) => sink.write(bytes) };
}

/** Beside the target (a rename cannot cross disks), of this process and thread alone. */
function temporaryName(target: string): string {
  const name = `.${basename(target)}.tmp-${process.pid}-${threadId}-${counter++}`;
  return join(dirname(target), name);
}
