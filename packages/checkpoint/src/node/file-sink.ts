/**
 * A byte sink over an open file that writes all it is given: a single `write` may be cut short by a
 * full disk or a limit without an error, and its count must be read.
 */
import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { ByteSink } from '../write-safetensors';
import { diskFullOr } from './disk-full';

// Node refuses more than 2^31 - 1 bytes at once; 64 MiB keep its thread pool free for others.
const PIECE_BYTES = 64 * 1024 * 1024;

/** A sink that counts and hashes what it wrote. */
export class FileSink implements ByteSink {
  sizeBytes = 0;
  readonly #hash: Hash = createHash('sha256');

  constructor(
    private readonly handle: FileHandle,
    private readonly path: string,
    /** Size of the whole file when it is known, for the message of a full disk. */
    private readonly expectedBytes = 0,
  ) {}

  async write(bytes: Uint8Array): Promise<void> {
    let written = 0;
    while (written < bytes.byteLength) {
      const length = Math.min(PIECE_BYTES, bytes.byteLength - written);
      written += await this.#writePiece(bytes, written, length);
    }
    this.#hash.update(bytes);
    this.sizeBytes += bytes.byteLength;
  }

  /** SHA-256 of all bytes, in hex; called once, at the end. */
  digest(): string {
    return this.#hash.digest('hex');
  }

  async #writePiece(bytes: Uint8Array, offset: number, length: number): Promise<number> {
    const position = this.sizeBytes + offset;
    const missing = Math.max(bytes.byteLength - offset, this.expectedBytes - position);
    try {
      const { bytesWritten } = await this.handle.write(bytes, offset, length, position);
      if (bytesWritten > 0) return bytesWritten;
    } catch (error) {
      throw await diskFullOr(error, this.path, missing);
    }
    const stuck = Object.assign(new Error('write: 0 bytes were written'), { code: 'ENOSPC' });
    throw await diskFullOr(stuck, this.path, missing);
  }
}
