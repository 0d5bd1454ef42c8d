/** A byte sink over an open file that writes all it is given, one piece behind the other. */
import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { ByteSink } from '../write-safetensors';
import { writeAt } from './write-at';

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
    const { handle, path, expectedBytes } = this;
    await writeAt(handle, bytes, this.sizeBytes, { path, expectedBytes });
    this.#hash.update(bytes);
    this.sizeBytes += bytes.byteLength;
  }

  /** SHA-256 of all bytes, in hex; called once, at the end. */
  digest(): string {
    return this.#hash.digest('hex');
  }
}
