/**
 * The members of a ZIP archive as torch writes it (PKWARE APPNOTE 6.3): stored, never compressed,
 * so there is no bomb; sizes from the central directory, with ZIP64; no encryption, no second disk,
 * no comment, no overlap, no name twice.
 */
import { badZip } from './bad-zip';
import type { ByteSource } from './byte-source';
import { byteView } from './byte-view';
import { crc32 } from './crc32';
import { quoteName } from './quote-name';
import { decodeUtf8 } from './utf8';
import { readDirectoryEntries, type ZipEntry } from './zip-directory';

/** A checked archive. */
export interface ZipArchive {
  /** By name, in the order of the central directory. */
  members: ReadonlyMap<string, ZipEntry>;
  /** Reads a member and checks its CRC-32. */
  read(member: ZipEntry): Promise<Uint8Array>;
}

const LOCAL = 0x04034b50;

/**
 * Reads the directory of a ZIP archive and checks every member's local header.
 * @throws CheckpointError `bad-zip`
 */
export async function openZip(source: ByteSource): Promise<ZipArchive> {
  const entries = await readDirectoryEntries(source);
  const members = new Map<string, ZipEntry>();
  for (const entry of entries) {
    if (members.has(entry.name))
      throw badZip(source, `names must differ, got ${quoteName(entry.name)} twice`);
    members.set(entry.name, { ...entry, dataStart: await locateData(source, entry) });
  }
  assertNoOverlap(source, [...members.values()]);
  return {
    members,
    async read(member) {
      const bytes = await source.read(member.dataStart, member.dataStart + member.sizeBytes);
      const crc = crc32(bytes);
      if (crc !== member.crc) {
        throw badZip(
          source,
          `member ${quoteName(member.name)} must have CRC-32 ${member.crc}, got ${crc}`,
        );
      }
      return bytes;
    },
  };
}

/** Start of a member's bytes; its local header must be that of the directory. */
async function locateData(source: ByteSource, entry: ZipEntry): Promise<number> {
  const { headerStart, directoryStart, name } = entry;
  if (headerStart + 30 > directoryStart)
    throw badZip(source, 'local headers must lie before the directory');
  const header = byteView(await source.read(headerStart, headerStart + 30));
  const dataStart = headerStart + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  if (header.getUint32(0, true) !== LOCAL || dataStart + entry.sizeBytes > directoryStart) {
    throw badZip(
      source,
      `member ${quoteName(name)} must have a local header and lie before the directory`,
    );
  }
  const nameStart = headerStart + 30;
  const nameBytes = await source.read(nameStart, nameStart + header.getUint16(26, true));
  const same =
    header.getUint16(6, true) === entry.flags &&
    header.getUint16(8, true) === 0 &&
    decodeUtf8(nameBytes, source.name) === name;
  if (!same) throw badZip(source, `member ${quoteName(name)} must be the same in its local header`);
  return dataStart;
}

/** Checks that no two members share bytes. */
function assertNoOverlap(source: ByteSource, entries: readonly ZipEntry[]): void {
  const sorted = [...entries].sort((a, b) => a.headerStart - b.headerStart);
  for (const [i, entry] of sorted.entries()) {
    const end = entry.dataStart + entry.sizeBytes;
    const next = sorted[i + 1];
    if (next !== undefined && end > next.headerStart) {
      throw badZip(
        source,
        `members must not overlap, got ${quoteName(entry.name)} and ${quoteName(next.name)}`,
      );
    }
  }
}
