/** What is to be kept of a folder: sizes and versions are known before the first byte is read. */
import type { ByteSource, FileStore } from '../byte-source';
import { CheckpointError } from '../checkpoint-error';
import { modelFiles } from '../model-files';
import { openOnce } from '../open-once';
import { assertPlainName } from '../plain-name';
import { quoteName } from '../quote-name';
import type { KeptRecord } from './kept-record';
import { sha256 } from './sha256';

export interface KeepPlan {
  record: KeptRecord;
  /** In the order of the record's files. */
  sources: ByteSource[];
}

// Requests of no body: as many as a browser makes of one server at once.
const OPENED_AT_ONCE = 6;

/** @param further names of files that a model of this kind needs beside the usual ones. */
export async function planFiles(
  given: FileStore,
  further: readonly string[],
  pieceBytes: number,
  signal: AbortSignal | undefined,
): Promise<KeepPlan> {
  const store = openOnce(given, signal);
  const { required, optional } = await modelFiles(store, signal);
  const needed = new Set([...required, ...further.map(assertPlainName)]);
  const names = [...new Set([...needed, ...optional])];
  const sources: ByteSource[] = [];
  for (let i = 0; i < names.length; i += OPENED_AT_ONCE) {
    const batch = names.slice(i, i + OPENED_AT_ONCE);
    const opened = await Promise.all(batch.map((name) => store.open(name)));
    for (const [j, source] of opened.entries()) {
      const name = batch[j]!;
      if (source) sources.push({ ...source, name, read: (...range) => source.read(...range) });
      else if (needed.has(name)) throw missing(store.name, name);
    }
  }
  const files = await Promise.all(
    sources.map(async ({ name, size, version }) => {
      // Where a change could not be noticed, nothing is gone on with.
      const identity = [store.name, name, size, version ?? crypto.randomUUID(), pieceBytes];
      const folder = await sha256(JSON.stringify(identity));
      return { name, size, version, folder, pieces: [] };
    }),
  );
  return { record: { source: store.name, date: Date.now(), pieceBytes, files }, sources };
}

function missing(folder: string, name: string): CheckpointError {
  return new CheckpointError(
    'missing-file',
    `keepModel: ${quoteName(folder)} must contain ${quoteName(name)}.`,
  );
}
