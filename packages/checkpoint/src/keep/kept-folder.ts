/**
 * Where kept models lie, and how bytes get there: the origin private file system, one folder a model.
 *
 *     mha2mla-models/NAME/record.json         the model that is kept whole
 *     mha2mla-models/NAME/next.json           the same, while that is written anew
 *     mha2mla-models/NAME/partial.json        the model that is being kept
 *     mha2mla-models/NAME/FILE/INDEX-SHA256   a piece of a file; FILE is another for each version
 */
import { CheckpointError } from '../checkpoint-error';
import { assertPlainName } from '../plain-name';
import { quoteName } from '../quote-name';

/** Options of all that has to do with kept models. */
export interface KeptOptions {
  /** Where models are kept. Default: a folder of the browser's own storage for this origin. */
  directory?: FileSystemDirectoryHandle | undefined;
}

const ROOT = 'mha2mla-models';

/** @throws CheckpointError `no-storage` */
export async function keptRoot(
  directory: FileSystemDirectoryHandle | undefined,
): Promise<FileSystemDirectoryHandle> {
  if (directory) return directory;
  try {
    const storage = await navigator.storage.getDirectory();
    return await storage.getDirectoryHandle(ROOT, { create: true });
  } catch (cause) {
    throw new CheckpointError(
      'no-storage',
      'keepModel: the browser must give this page storage of its own, got none. Pages need https or localhost; some browsers give none in private windows.',
      { cause },
    );
  }
}

/** A folder or a file that may not be there. */
export async function ifThere<T>(entry: Promise<T>): Promise<T | undefined> {
  try {
    return await entry;
  } catch (error) {
    if (errorName(error) === 'NotFoundError') return undefined;
    throw error;
  }
}

export function errorName(error: unknown): string | undefined {
  return (error as { name?: string } | null)?.name;
}

/**
 * Run while no other tab or worker changes the model.
 * @param ifBusy what happens where one does; by default its turn is awaited
 */
export async function whileLocked<T>(
  name: string,
  { signal, ifBusy }: { signal?: AbortSignal | undefined; ifBusy?: () => never },
  run: () => Promise<T>,
): Promise<T> {
  // Wherever there is this storage, there are locks.
  const { locks } = globalThis.navigator ?? {};
  if (!locks) return run();
  const options = ifBusy ? { ifAvailable: true } : signal ? { signal } : {};
  return locks.request(`${ROOT}/${assertPlainName(name)}`, options, (lock) =>
    lock ? run() : ifBusy!(),
  );
}

/** Of a file that is open in a worker; the types of a page have none. */
interface SyncAccess {
  truncate(size: number): void;
  write(bytes: Uint8Array, at: { at: number }): number;
  flush(): void;
  close(): void;
}

/**
 * Write a file: in a worker in place, elsewhere, where only the other way is there, by a copy that
 * takes its place.
 */
export async function writeFile(
  folder: FileSystemDirectoryHandle,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const handle = (await folder.getFileHandle(name, { create: true })) as FileSystemFileHandle & {
    createSyncAccessHandle?(): Promise<SyncAccess>;
  };
  if (handle.createSyncAccessHandle) {
    const access = await handle.createSyncAccessHandle();
    try {
      access.truncate(0);
      writeAll(access, bytes, name);
      access.flush();
    } finally {
      access.close();
    }
    return;
  }
  const stream = await handle.createWritable();
  try {
    await stream.write(bytes as Uint8Array<ArrayBuffer>);
    await stream.close();
  } catch (error) {
    await stream.abort().catch(() => {}); // it may be closed; the error matters
    throw error;
  }
}

function writeAll(access: SyncAccess, bytes: Uint8Array, name: string): void {
  for (let at = 0; at < bytes.byteLength; ) {
    const written = access.write(bytes.subarray(at), { at });
    // Some browsers cut a write short where others throw.
    if (written <= 0) throw new DOMException(`${quoteName(name)} is cut`, 'QuotaExceededError');
    at += written;
  }
}

/** Bytes of the files in a folder, at any depth. */
export async function bytesIn(folder: FileSystemDirectoryHandle): Promise<number> {
  let sum = 0;
  for await (const entry of folder.values()) {
    if (entry.kind === 'directory') sum += await bytesIn(entry as FileSystemDirectoryHandle);
    else sum += (await (entry as FileSystemFileHandle).getFile()).size;
  }
  return sum;
}
