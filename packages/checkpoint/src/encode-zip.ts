/** A ZIP archive of stored members (PKWARE APPNOTE 6.3), as small as torch's reader takes it. */
import { byteView } from './byte-view';
import { concatBytes } from './concat-bytes';
import { crc32 } from './crc32';

const LOCAL_BYTES = 30;
const ENTRY_BYTES = 46;
const END_BYTES = 22;
/** 1 January 1980, the first day that a ZIP can name: the same input gives the same bytes. */
const DATE = 0x21;

/** @param members bytes by name, ASCII; below 4 GiB in all. */
export function encodeZip(members: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const locals: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let position = 0;
  for (const [name, data] of Object.entries(members)) {
    const fields = fieldsOf(name, data);
    const local = record(0x04034b50, LOCAL_BYTES, name);
    local.set(fields, 4);
    const entry = record(0x02014b50, ENTRY_BYTES, name);
    entry.set(fields, 6);
    byteView(entry).setUint32(42, position, true);
    locals.push(local, data);
    directory.push(entry);
    position += local.length + data.length;
  }
  const entries = concatBytes(directory);
  const end = record(0x06054b50, END_BYTES, '');
  const view = byteView(end);
  view.setUint16(8, directory.length, true);
  view.setUint16(10, directory.length, true);
  view.setUint32(12, entries.length, true);
  view.setUint32(16, position, true);
  return concatBytes([...locals, entries, end]);
}

/** What local header and directory entry have alike: version, flags, method, time, CRC, sizes. */
function fieldsOf(name: string, data: Uint8Array): Uint8Array {
  const fields = new Uint8Array(24);
  const view = byteView(fields);
  view.setUint16(0, 20, true); // version 2.0
  view.setUint16(8, DATE, true);
  view.setUint32(10, crc32(data), true);
  view.setUint32(14, data.length, true);
  view.setUint32(18, data.length, true);
  view.setUint16(22, name.length, true);
  return fields;
}

/** A header of `size` bytes that begins with its signature and ends with the name. */
function record(signature: number, size: number, name: string): Uint8Array {
  const bytes = new Uint8Array(size + name.length);
  byteView(bytes).setUint32(0, signature, true);
  bytes.set(new TextEncoder().encode(name), size);
  return bytes;
}
