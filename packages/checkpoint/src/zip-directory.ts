/**
 * The central directory of a ZIP archive, ZIP64 included. The end record must be the last bytes of
 * the file and the directory must lie right before it: two readers then find the same members.
 */
import { badZip } from './bad-zip';
import type { ByteSource } from './byte-source';
import { byteView } from './byte-view';
import { quoteName } from './quote-name';
import { decodeUtf8 } from './utf8';

/** A member as the central directory has it. */
export interface ZipEntry {
  name: string;
  flags: number;
  crc: number;
  sizeBytes: number;
  headerStart: number;
  /** Start of the central directory, which ends the space for members. */
  directoryStart: number;
  /** Start of the member's bytes; set once its local header is read. */
  dataStart: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const ENTRY = 0x02014b50;
const END_BYTES = 22;
const LOCATOR64_BYTES = 20;
const END64_BYTES = 56;
// torch 2.6 writes 5 members for one tensor, newer ones 8; their names and extras have 100 bytes.
const MAX_MEMBERS = 64;
const MAX_DIRECTORY_BYTES = 65_536;
// Bit 3: sizes follow the data; bit 11: names are UTF-8. Bits 0, 6 and 13 would be encryption.
const ALLOWED_FLAGS = 0x0808;

/**
 * Reads the central directory.
 * @throws CheckpointError `bad-zip`
 */
export async function readDirectoryEntries(source: ByteSource): Promise<ZipEntry[]> {
  const { count, start, end } = await locateDirectory(source);
  if (count > MAX_MEMBERS || end - start > MAX_DIRECTORY_BYTES) {
    throw badZip(source, `at most ${MAX_MEMBERS} members are expected, got ${count}`);
  }
  const bytes = await source.read(start, end);
  const entries: ZipEntry[] = [];
  let position = 0;
  for (let i = 0; i < count; i++) {
    const { entry, next } = parseEntry(source, bytes, position, start);
    entries.push(entry);
    position = next;
  }
  if (position !== bytes.byteLength)
    throw badZip(source, 'the directory must hold its entries only');
  return entries;
}

interface Directory {
  count: number;
  start: number;
  end: number;
}

async function locateDirectory(source: ByteSource): Promise<Directory> {
  if (source.size < END_BYTES) throw badZip(source, 'an end record is expected');
  const endStart = source.size - END_BYTES;
  const record = byteView(await source.read(endStart, source.size));
  if (record.getUint32(0, true) !== END || record.getUint16(20, true) !== 0) {
    throw badZip(source, 'the end record must be the last 22 bytes, without a comment');
  }
  const directory64 = await locateDirectory64(source, endStart);
  if (directory64 !== undefined) return directory64;
  if (record.getUint32(4, true) !== 0 || record.getUint16(8, true) !== record.getUint16(10, true)) {
    throw badZip(source, 'all members must be on one disk');
  }
  const [size, start] = [record.getUint32(12, true), record.getUint32(16, true)];
  if (start + size !== endStart) throw badZip(source, 'the directory must end at the end record');
  return { count: record.getUint16(10, true), start, end: endStart };
}

/** The ZIP64 directory, when the locator before the end record announces one. */
async function locateDirectory64(
  source: ByteSource,
  endStart: number,
): Promise<Directory | undefined> {
  const locatorStart = endStart - LOCATOR64_BYTES;
  if (locatorStart < END64_BYTES) return undefined;
  const locator = byteView(await source.read(locatorStart, endStart));
  if (locator.getUint32(0, true) !== LOCATOR64) return undefined;
  const recordStart = locatorStart - END64_BYTES;
  const record = byteView(await source.read(recordStart, locatorStart));
  const sound =
    locator.getUint32(4, true) === 0 &&
    locator.getBigUint64(8, true) === BigInt(recordStart) &&
    record.getUint32(0, true) === END64 &&
    record.getBigUint64(16, true) === 0n &&
    record.getBigUint64(24, true) === record.getBigUint64(32, true);
  const size = record.getBigUint64(40, true);
  const start = record.getBigUint64(48, true);
  if (!sound || start + size !== BigInt(recordStart)) {
    throw badZip(
      source,
      'the ZIP64 end record must lie between directory and locator, on one disk',
    );
  }
  const count = record.getBigUint64(32, true);
  return { count: Number(count), start: Number(start), end: recordStart };
}

function parseEntry(
  source: ByteSource,
  bytes: Uint8Array,
  position: number,
  directoryStart: number,
): { entry: ZipEntry; next: number } {
  const header = byteView(bytes);
  if (position + 46 > bytes.byteLength || header.getUint32(position, true) !== ENTRY) {
    throw badZip(source, 'the directory must hold whole entries');
  }
  const at16 = (offset: number) => header.getUint16(position + offset, true);
  const at32 = (offset: number) => header.getUint32(position + offset, true);
  const nameEnd = position + 46 + at16(28);
  const extraEnd = nameEnd + at16(30);
  if (extraEnd > bytes.byteLength) throw badZip(source, 'the directory must hold whole entries');
  const name = decodeUtf8(bytes.subarray(position + 46, nameEnd), source.name);
  const wide = [at32(24), at32(20), at32(42)] as const; // size, stored size, header's start
  const [sizeBytes, storedBytes, headerStart] = widen(
    source,
    wide,
    bytes.subarray(nameEnd, extraEnd),
  );
  const flags = at16(8);
  if (at16(10) !== 0 || sizeBytes !== storedBytes) {
    throw badZip(source, `member ${quoteName(name)} must be stored, not compressed`);
  }
  if ((flags & ~ALLOWED_FLAGS) !== 0 || at16(34) !== 0 || at16(32) !== 0) {
    throw badZip(
      source,
      `member ${quoteName(name)} must be plain: not encrypted, on one disk, without a comment`,
    );
  }
  const entry = {
    name,
    flags,
    crc: at32(16),
    sizeBytes,
    headerStart,
    directoryStart,
    dataStart: 0,
  };
  return { entry, next: extraEnd };
}

/** Fields that are 0xFFFFFFFF have their value in the ZIP64 extra field (id 1), in this order. */
function widen(
  source: ByteSource,
  fields: readonly [number, number, number],
  extra: Uint8Array,
): [number, number, number] {
  const wide = zip64Values(extra);
  const values = fields.map((field) => {
    if (field !== 0xffffffff) return field;
    const value = wide.shift();
    if (value === undefined || value > BigInt(source.size)) {
      throw badZip(source, 'sizes and offsets must lie within the file');
    }
    return Number(value);
  });
  return values as [number, number, number];
}

function zip64Values(extra: Uint8Array): bigint[] {
  const fields = byteView(extra);
  for (let at = 0; at + 4 <= extra.byteLength; at += 4 + fields.getUint16(at + 2, true)) {
    if (fields.getUint16(at, true) !== 1) continue;
    const end = Math.min(at + 4 + fields.getUint16(at + 2, true), extra.byteLength);
    const values: bigint[] = [];
    for (let i = at + 4; i + 8 <= end; i += 8) values.push(fields.getBigUint64(i, true));
    return values;
  }
  return [];
}
