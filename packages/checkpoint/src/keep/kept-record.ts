/** What is written down of a kept model. It is read back without trust: anyone can write to a folder. */
import {
  type ConfigRecord,
  configInteger,
  configString,
  configValue,
  isConfigRecord,
} from '../config-values';
import { assertPlainName } from '../plain-name';
import { parseJson } from '../strict-json';
import { writeFile } from './kept-folder';

/** Of a model that is kept whole, and of one that is being kept. */
export const COMPLETE = 'record.json';
export const PARTIAL = 'partial.json';
/** The record of a whole model while it takes the place of another, which may tear it. */
export const NEXT = 'next.json';

/** A model's files, where they came from, and where their pieces lie. */
export interface KeptRecord {
  /** The address of the folder, or the name of the store. */
  source: string;
  /** Milliseconds since 1970. */
  date: number;
  pieceBytes: number;
  files: KeptFile[];
}

export interface KeptFile {
  name: string;
  size: number;
  /** Its ETag, say. */
  version?: string | undefined;
  /** Of its pieces: 64 hexadecimal digits, others for each source, size and version. */
  folder: string;
  /** SHA-256 of each piece, once all are there. */
  pieces: string[];
}

export const piecesOf = ({ size }: { size: number }, pieceBytes: number): number =>
  Math.ceil(size / pieceBytes);

export const pieceName = (index: number, sha256: string): string => `${index}-${sha256}`;

export const totalBytes = ({ files }: Pick<KeptRecord, 'files'>): number =>
  files.reduce((sum, { size }) => sum + size, 0);

export async function writeRecord(
  folder: FileSystemDirectoryHandle,
  name: typeof COMPLETE | typeof PARTIAL,
  record: KeptRecord,
): Promise<void> {
  const bytes = new TextEncoder().encode(JSON.stringify(record));
  if (name === COMPLETE) await writeFile(folder, NEXT, bytes);
  await writeFile(folder, name, bytes);
  if (name === COMPLETE) await folder.removeEntry(NEXT);
}

/** The record of that name; `undefined` where there is none, or a torn or malformed one. */
export async function readRecord(
  folder: FileSystemDirectoryHandle,
  name: typeof COMPLETE | typeof PARTIAL,
): Promise<KeptRecord | undefined> {
  if (name === PARTIAL) return readFile(folder, PARTIAL, false);
  return (await readFile(folder, COMPLETE, true)) ?? readFile(folder, NEXT, true);
}

async function readFile(
  folder: FileSystemDirectoryHandle,
  name: string,
  complete: boolean,
): Promise<KeptRecord | undefined> {
  try {
    const file = await (await folder.getFileHandle(name)).getFile();
    assert(file.size <= MAX_RECORD_BYTES);
    return parseRecord(parseJson(await file.text(), name), complete);
  } catch {
    return undefined;
  }
}

// 70 bytes a piece: a million of them, which are 8 TB.
const MAX_RECORD_BYTES = 70_000_000;
// As many shards as an index may have, and what else is in a folder.
const MAX_FILES = 11_000;
const MAX_BYTES = Number.MAX_SAFE_INTEGER;
const HASH = /^[0-9a-f]{64}$/;

function parseRecord(value: unknown, complete: boolean): KeptRecord {
  const record = assertRecord(value);
  const pieceBytes = configInteger(record, 'pieceBytes', { min: 1, max: 2 ** 30 });
  const files = list(configValue(record, 'files'), MAX_FILES).map((file) =>
    parseFile(assertRecord(file), pieceBytes, complete),
  );
  assert(new Set(files.map(({ name }) => name)).size === files.length);
  assert(Number.isSafeInteger(totalBytes({ files })));
  const date = configInteger(record, 'date', { min: 0, max: 8.64e15 }); // what a Date can be
  const source = configValue(record, 'source');
  assert(typeof source === 'string');
  return { source, date, pieceBytes, files };
}

function parseFile(record: ConfigRecord, pieceBytes: number, complete: boolean): KeptFile {
  const name = assertPlainName(configString(record, 'name'));
  const size = configInteger(record, 'size', { min: 0, max: MAX_BYTES });
  const folder = hash(configValue(record, 'folder'));
  const pieces = list(configValue(record, 'pieces'), MAX_RECORD_BYTES).map(hash);
  assert(pieces.length === (complete ? piecesOf({ size }, pieceBytes) : 0));
  return { name, size, folder, pieces };
}

function assertRecord(value: unknown): ConfigRecord {
  assert(isConfigRecord(value));
  return value;
}

function list(value: unknown, max: number): unknown[] {
  assert(Array.isArray(value) && value.length <= max);
  return value;
}

function hash(value: unknown): string {
  assert(typeof value === 'string' && HASH.test(value));
  return value;
}

/** What is malformed counts as absent, so that nobody reads why. */
function assert(holds: boolean): asserts holds {
  if (!holds) throw new TypeError('kept-record: malformed');
}
