/** A kept model as a store: its files are read where they lie, by slices. */
import { blobStore } from '../blob-store';
import type { FileStore } from '../byte-source';
import { CheckpointError } from '../checkpoint-error';
import { assertPlainName } from '../plain-name';
import { quoteName } from '../quote-name';
import { ifThere, type KeptOptions, keptRoot } from './kept-folder';
import { COMPLETE, type KeptFile, pieceName, readRecord } from './kept-record';

/** A store of files; these can also be posted to a worker. */
export interface KeptStore extends FileStore {
  readonly files: readonly File[];
}

/**
 * Open a model that is kept whole.
 * @throws CheckpointError `missing-file` where none of that name is, or not all of it; `no-storage`.
 *   Reading throws `io` once it is removed, or replaced by another version.
 */
export async function openKept(name: string, { directory }: KeptOptions = {}): Promise<KeptStore> {
  assertPlainName(name);
  const folder = await ifThere((await keptRoot(directory)).getDirectoryHandle(name));
  const record = folder && (await readRecord(folder, COMPLETE));
  if (!folder || !record) throw notKept(name);
  const files = await Promise.all(
    record.files.map((file) => joinPieces(folder, file, record.date)),
  );
  const whole = files.filter((file, i) => file?.size === record.files[i]!.size) as File[];
  if (whole.length < files.length) throw notKept(name);
  return { ...blobStore(whole), name, files: whole };
}

/** The pieces of a file as one that refers to them. */
async function joinPieces(
  folder: FileSystemDirectoryHandle,
  { name, folder: own, pieces }: KeptFile,
  lastModified: number,
): Promise<File | undefined> {
  if (pieces.length === 0) return new File([], name, { lastModified });
  const directory = await ifThere(folder.getDirectoryHandle(own));
  if (!directory) return undefined;
  const parts = await Promise.all(
    pieces.map(async (hash, index) => {
      const handle = await ifThere(directory.getFileHandle(pieceName(index, hash)));
      return handle?.getFile();
    }),
  );
  return new File(
    parts.filter((part) => part !== undefined),
    name,
    { lastModified },
  );
}

function notKept(name: string): CheckpointError {
  return new CheckpointError(
    'missing-file',
    `openKept: a model ${quoteName(name)} must be kept whole, got none or a part. keepModel keeps it, or goes on where it stopped.`,
  );
}
