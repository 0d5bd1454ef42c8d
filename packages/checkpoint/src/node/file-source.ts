/** A file on disk as a byte source: positioned reads on one open handle, looped until whole. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { allocateRead, assertRange, assertWholeRead, type ByteSource } from '../byte-source';
import { CheckpointError } from '../checkpoint-error';
import { quoteName } from '../quote-name';
import { readAt } from './read-at';

/** A byte source that owns an open file. */
export interface FileSource extends ByteSource {
  /** Closes the file. */
  close(): Promise<void>;
}

/**
 * Opens a file for reading; the caller closes it.
 * @param path of a regular file; pipes and devices are refused, they have no size
 * @param name for messages, the base name when left out
 * @throws CheckpointError `missing-file`, `io`
 */
export async function fileSource(path: string, name = basename(path)): Promise<FileSource> {
  const handle = await openForReading(path, name);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) {
      throw new CheckpointError('io', `fileSource: ${quoteName(name)} must be a regular file.`);
    }
    return sourceOf(handle, name, stats.size);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function sourceOf(handle: FileHandle, name: string, size: number): FileSource {
  const source: FileSource = {
    name,
    size,
    async read(start, end, signal) {
      assertRange(source, start, end);
      const bytes = allocateRead(source, end - start);
      const filled = await readAt(handle, bytes, start, signal);
      signal?.throwIfAborted();
      // The file may have become shorter since it was opened.
      assertWholeRead(source, start, end, filled);
      return bytes;
    },
    close: () => handle.close(),
  };
  return source;
}

async function openForReading(path: string, name: string): Promise<FileHandle> {
  try {
    // Opening a named pipe waits for its writer, for ever perhaps; non-blocking it opens and is refused.
    return await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    const absent = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new CheckpointError(
      absent ? 'missing-file' : 'io',
      `fileSource: ${quoteName(name)} must be a readable file, got ${(cause as NodeJS.ErrnoException).code}.`,
      { cause },
    );
  }
}
