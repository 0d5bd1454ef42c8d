import type { FileHandle } from 'node:fs/promises';
import { diskFullOr } from './disk-full';

// Node refuses more than 2^31 - 1 bytes at once; 64 MiB keep its thread pool free for others.
const PIECE_BYTES = 64 * 1024 * 1024;

/** Options of `writeAt`. */
export interface WriteAtOptions {
  /** Of the file, for messages. */
  path: string;
  /** Size of the whole file when it is known, for the message of a full disk. */
  expectedBytes?: number;
}

/**
 * Write all bytes at a position of an open file: a single `write` may be cut short by a full disk or
 * a limit without an error, and its count must be read.
 * @throws CheckpointError `disk-full`
 */
export async function writeAt(
  handle: FileHandle,
  bytes: Uint8Array,
  position: number,
  { path, expectedBytes = 0 }: WriteAtOptions,
): Promise<void> {
  for (let written = 0; written < bytes.byteLength; ) {
    const length = Math.min(PIECE_BYTES, bytes.byteLength - written);
    const at = position + written;
    const missing = Math.max(bytes.byteLength - written, expectedBytes - at);
    let bytesWritten: number;
    try {
      ({ bytesWritten } = await handle.write(bytes, written, length, at));
    } catch (error) {
      throw await diskFullOr(error, path, missing);
    }
    if (bytesWritten === 0) {
      const stuck = Object.assign(new Error('write: 0 bytes were written'), { code: 'ENOSPC' });
      throw await diskFullOr(stuck, path, missing);
    }
    written += bytesWritten;
  }
}
