/**
 * Keep a model in the browser's own storage. Its files come in pieces, each checked in by its SHA-256,
 * so that what is cut goes on where it stopped: a piece that was torn is no longer what its name says.
 * Pieces of a version lie in a folder of that version, so that two never mix. The model that was kept
 * before under the same name stays whole until this one is.
 */
import type { FileStore } from '../byte-source';
import { httpStore } from '../http-store';
import { assertPlainName } from '../plain-name';
import { assertSpace, storageFullOr } from './free-space';
import { type KeptOptions, keptRoot, whileLocked } from './kept-folder';
import type { KeptModel } from './kept-models';
import {
  COMPLETE,
  type KeptFile,
  type KeptRecord,
  NEXT,
  PARTIAL,
  readRecord,
  totalBytes,
  writeRecord,
} from './kept-record';
import { checkPieces, downloadPieces, type Pieces } from './pieces';
import { planFiles } from './plan-files';

/** How far keeping a model has come. */
export interface KeepProgress {
  /** First what is there already is checked, then the rest comes. */
  phase: 'check' | 'download';
  /** Bytes that are kept, which never become fewer; the total is known before the first. */
  loaded: number;
  total: number;
}

export interface KeepModelOptions extends KeptOptions {
  /** Under which it is found again: a plain name, as of a file. */
  name: string;
  /** Names of files that it needs beside those that Hugging Face's folders have. */
  files?: readonly string[];
  /** Ask the browser never to clear this origin's storage by itself. Only a page can, no worker. */
  persist?: boolean;
  /** Read at once, and held in memory twice. Default 8 MiB. */
  pieceBytes?: number;
  signal?: AbortSignal | undefined;
  /** Called with each piece. */
  onProgress?: ((progress: KeepProgress) => void) | undefined;
}

/** A few seconds of a slow connection, and some 2,000 files of a large model. */
const PIECE_BYTES = 2 ** 23;

/**
 * Keep a model, go on with one that was cut, check one that is kept and repair it, or take its new
 * version. In a worker it writes in place; a tab that keeps the same name meanwhile is waited for.
 * @param source an http address of a folder, or any store.
 * @returns what is kept, and whether the browser will clear it by itself where space becomes rare.
 * @throws the signal's reason; CheckpointError `disk-full` where it does not fit, with figures,
 *   `no-storage`, `source-changed`, `missing-file`, and what reading the source throws. Pieces that
 *   were kept stay in all cases.
 */
export async function keepModel(
  source: string | FileStore,
  {
    name,
    files = [],
    persist = false,
    pieceBytes = PIECE_BYTES,
    directory,
    signal,
    onProgress,
  }: KeepModelOptions,
): Promise<KeptModel & { persisted: boolean }> {
  assertPlainName(name);
  signal?.throwIfAborted();
  const root = await keptRoot(directory);
  const persisted = await isPersisted(persist);
  const store = typeof source === 'string' ? httpStore(source) : source;
  const plan = await planFiles(store, files, pieceBytes, signal);
  const total = totalBytes(plan.record);
  let loaded = 0;
  const report = (phase: KeepProgress['phase'], bytes: number) => {
    loaded += bytes;
    onProgress?.({ phase, loaded, total });
  };
  report('check', 0);
  return whileLocked(name, { signal }, async () => {
    const folder = await root.getDirectoryHandle(name, { create: true });
    const before = await readRecord(folder, COMPLETE);
    await removeAllBut(folder, [...(before?.files ?? []), ...plan.record.files]);
    await writeRecord(folder, PARTIAL, plan.record);
    const found = await checkPieces(folder, plan.record, signal, (bytes) => report('check', bytes));
    if (!directory) await assertSpace(name, total - loaded);
    report('download', 0);
    const download = { folder, plan, found, signal };
    await downloadPieces(download, (bytes) => report('download', bytes));
    const record = recordOf(plan.record, found);
    await writeRecord(folder, COMPLETE, record);
    await folder.removeEntry(PARTIAL);
    await removeAllBut(folder, record.files);
    const { source, date } = record;
    const kept = { source, date: new Date(date), sizeBytes: total, keptBytes: total };
    return { name, ...kept, complete: true, persisted };
  }).catch(async (error) => {
    throw await storageFullOr(error, name, total - loaded);
  });
}

async function isPersisted(persist: boolean): Promise<boolean> {
  const { storage } = globalThis.navigator ?? {};
  const answer = persist && storage?.persist ? storage.persist() : storage?.persisted?.();
  return (await answer) ?? false;
}

function recordOf(record: KeptRecord, found: Pieces): KeptRecord {
  const files = record.files.map((file, i) => ({ ...file, pieces: found[i] as string[] }));
  return { ...record, date: Date.now(), files };
}

/** Folders of pieces that belong to no version any more. */
async function removeAllBut(
  folder: FileSystemDirectoryHandle,
  files: readonly KeptFile[],
): Promise<void> {
  const wanted = new Set([COMPLETE, NEXT, PARTIAL, ...files.map((file) => file.folder)]);
  const entries: string[] = [];
  for await (const name of folder.keys()) if (!wanted.has(name)) entries.push(name);
  for (const name of entries) await folder.removeEntry(name, { recursive: true });
}
