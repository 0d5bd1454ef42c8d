import type { FileHandle } from 'node:fs/promises';

// Node refuses to read more than 2^31 - 1 bytes at once; 64 MiB pieces also let an abort in between.
const PIECE_BYTES = 64 * 1024 * 1024;

/**
 * Fill `bytes` from a position of an open file.
 * @returns how many bytes were there: fewer than asked for where the file ends.
 * @throws the signal's reason when aborted.
 */
export async function readAt(
  handle: FileHandle,
  bytes: Uint8Array,
  position: number,
  signal?: AbortSignal,
): Promise<number> {
  let filled = 0;
  while (filled < bytes.byteLength) {
    signal?.throwIfAborted();
    const length = Math.min(PIECE_BYTES, bytes.byteLength - filled);
    const { bytesRead } = await handle.read(bytes, filled, length, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}
