/** Small text and JSON files of a checkpoint folder, bounded and strict. */
import type { FileStore } from './byte-source';
import { CheckpointError } from './checkpoint-error';
import { quoteName } from './quote-name';
import { decodeUtf8 } from './utf8';

/** Options of `readText` and `readJson`. */
export interface ReadTextOptions {
  /** Largest size that is read. The caller knows its file; 10 MB is the cap of a config.json. */
  maxBytes?: number;
  signal?: AbortSignal;
}

/**
 * Reads a UTF-8 file.
 * @throws CheckpointError `missing-file`, `too-large`, `not-utf8`, `bad-path`
 */
export async function readText(
  store: FileStore,
  name: string,
  { maxBytes = 10_000_000, signal }: ReadTextOptions = {},
): Promise<string> {
  const source = await store.open(name);
  if (source === undefined) {
    throw new CheckpointError(
      'missing-file',
      `readText: ${quoteName(store.name)} must contain ${quoteName(name)}. Is it a Hugging Face model folder, downloaded whole?`,
    );
  }
  if (source.size > maxBytes) {
    throw new CheckpointError(
      'too-large',
      `readText: ${quoteName(name)} must have at most ${maxBytes} bytes, got ${source.size}.`,
    );
  }
  return decodeUtf8(await source.read(0, source.size, signal), name);
}
