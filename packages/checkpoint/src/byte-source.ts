/**
 * Where bytes come from: a file, a `Blob`, memory or an HTTP server, all read by ranges, so that no
 * checkpoint is ever held whole. A source either gives exactly the bytes asked for or fails.
 */
import { CheckpointError } from './checkpoint-error';
import { quoteName } from './quote-name';

/** One file that can be read by byte ranges. */
export interface ByteSource {
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /** Another whenever the bytes are, such as an ETag; absent where that cannot be told. */
  readonly version?: string | undefined;
  /**
   * Reads bytes `start` up to, not including, `end`.
   * @throws CheckpointError `short-read` when fewer bytes come back; `signal.reason` when aborted
   */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
}

/** A folder of files, addressed by plain base names. */
export interface FileStore {
  readonly name: string;
  /** Opens a file; `undefined` when there is none of that name. */
  open(path: string, signal?: AbortSignal): Promise<ByteSource | undefined>;
  /** Frees what opened files hold; those are of no use from then on. */
  close?(): Promise<void>;
}

/**
 * Checks a range before anything is allocated for it.
 * @throws CheckpointError `bad-range` unless 0 <= start <= end <= size
 */
export function assertRange(source: ByteSource, start: number, end: number): void {
  const whole = Number.isSafeInteger(start) && Number.isSafeInteger(end);
  if (!whole || start < 0 || start > end || end > source.size) {
    throw new CheckpointError(
      'bad-range',
      `read: a range must lie within ${quoteName(source.name)} (${source.size} bytes), got ${start}..${end}.`,
    );
  }
}

/**
 * Checks that a read gave all bytes: what is missing must never be taken from old memory.
 * @throws CheckpointError `short-read`
 */
export function assertWholeRead(
  source: ByteSource,
  start: number,
  end: number,
  lengthBytes: number,
): void {
  if (lengthBytes !== end - start) {
    throw new CheckpointError(
      'short-read',
      `read: ${quoteName(source.name)} must give ${end - start} bytes from ${start}, got ${lengthBytes}. The file is cut short or was changed while it was read.`,
    );
  }
}

/**
 * Memory for a read whose range was checked; a sparse file can still be larger than any array.
 * @throws CheckpointError `too-large`
 */
export function allocateRead(source: ByteSource, lengthBytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(lengthBytes);
  } catch (cause) {
    throw new CheckpointError(
      'too-large',
      `read: ${lengthBytes} bytes of ${quoteName(source.name)} must fit in memory. Read a large tensor by rows.`,
      { cause },
    );
  }
}
