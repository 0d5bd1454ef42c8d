/** The models that are kept in the browser's own storage. */
import { assertPlainName } from '../plain-name';
import { bytesIn, type KeptOptions, keptRoot } from './kept-folder';
import { COMPLETE, PARTIAL, readRecord, totalBytes } from './kept-record';

/** A model in the browser's own storage. */
export interface KeptModel {
  name: string;
  /** The address of the folder that it came from, or the name of the store. */
  source: string;
  /** Bytes of all its files. */
  sizeBytes: number;
  /** Of these, bytes that are kept. */
  keptBytes: number;
  /** Whether it can be opened; `keepModel` goes on with what is not complete. */
  complete: boolean;
  /** When it was kept, or begun where it is not complete. */
  date: Date;
}

/**
 * List the models that are kept, or in part, by their names.
 * @throws CheckpointError `no-storage`
 */
export async function keptModels({ directory }: KeptOptions = {}): Promise<KeptModel[]> {
  const models: KeptModel[] = [];
  for await (const [name, entry] of (await keptRoot(directory)).entries()) {
    if (entry.kind !== 'directory' || !isPlain(name)) continue;
    models.push(await keptModel(name, entry as FileSystemDirectoryHandle));
  }
  return models.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function keptModel(name: string, folder: FileSystemDirectoryHandle): Promise<KeptModel> {
  const record = await readRecord(folder, COMPLETE);
  if (record) {
    const sizeBytes = totalBytes(record);
    const { source, date } = record;
    return { name, source, sizeBytes, keptBytes: sizeBytes, complete: true, date: new Date(date) };
  }
  const keptBytes = await bytesIn(folder);
  const { source = '', date = 0, files = [] } = (await readRecord(folder, PARTIAL)) ?? {};
  const sizeBytes = Math.max(totalBytes({ files }), keptBytes);
  return { name, source, sizeBytes, keptBytes, complete: false, date: new Date(date) };
}

function isPlain(name: string): boolean {
  try {
    assertPlainName(name);
    return true;
  } catch {
    return false;
  }
}
