/** The part of the origin private file system that keeping models uses, in memory, for tests in Node. */

export interface FakeDisk {
  root: FileSystemDirectoryHandle;
  /** How files are written: as in a worker, or as in a page. */
  way: 'sync' | 'stream';
  /** Bytes that fit. */
  quotaBytes: number;
  /** Changes until the tab is gone: what is written then is cut in half, and nothing works any more. */
  changesLeft: number;
  usedBytes(): number;
  /** Of all files, by paths; written to, they change. */
  files(): Map<string, FakeFile>;
}

interface FakeFile {
  bytes: Uint8Array;
}
type FakeFolder = Map<string, FakeFile | FakeFolder>;

export const GONE = new Error('the tab is gone');

export function fakeDisk(): FakeDisk {
  const folder: FakeFolder = new Map();
  const disk: FakeDisk = {
    root: undefined as never,
    way: 'sync',
    quotaBytes: Number.POSITIVE_INFINITY,
    changesLeft: Number.POSITIVE_INFINITY,
    usedBytes: () => [...disk.files().values()].reduce((sum, { bytes }) => sum + bytes.length, 0),
    files: () => new Map(filesOf(folder, '')),
  };
  disk.root = folderHandle('', folder, disk);
  return disk;
}

function* filesOf(folder: FakeFolder, path: string): Generator<[string, FakeFile]> {
  for (const [name, entry] of folder) {
    if (entry instanceof Map) yield* filesOf(entry, `${path}${name}/`);
    else yield [`${path}${name}`, entry];
  }
}

function change(disk: FakeDisk): void {
  if (disk.changesLeft <= 0) throw GONE;
  disk.changesLeft--;
}

function folderHandle(name: string, folder: FakeFolder, disk: FakeDisk): FileSystemDirectoryHandle {
  const handleOf = (key: string, entry: FakeFile | FakeFolder) =>
    entry instanceof Map ? folderHandle(key, entry, disk) : fileHandle(key, entry, disk);
  const get = <T extends FakeFile | FakeFolder>(
    key: string,
    isKind: (entry: FakeFile | FakeFolder) => entry is T,
    make: (() => T) | undefined,
  ) => {
    const found = folder.get(key);
    if (found && !isKind(found)) throw new DOMException(key, 'TypeMismatchError');
    if (!found && !make) throw new DOMException(key, 'NotFoundError');
    if (found) return found;
    change(disk);
    folder.set(key, make!());
    return folder.get(key) as T;
  };
  const isFolder = (entry: FakeFile | FakeFolder): entry is FakeFolder => entry instanceof Map;
  const isFile = (entry: FakeFile | FakeFolder): entry is FakeFile => !(entry instanceof Map);
  const handle = {
    kind: 'directory',
    name,
    async getDirectoryHandle(key: string, { create = false } = {}) {
      return folderHandle(key, get(key, isFolder, create ? () => new Map() : undefined), disk);
    },
    async getFileHandle(key: string, { create = false } = {}) {
      const empty = () => ({ bytes: new Uint8Array(0) });
      return fileHandle(key, get(key, isFile, create ? empty : undefined), disk);
    },
    async removeEntry(key: string, { recursive = false } = {}) {
      const entry = folder.get(key);
      if (!entry) throw new DOMException(key, 'NotFoundError');
      if (entry instanceof Map && entry.size > 0) {
        if (!recursive) throw new DOMException(key, 'InvalidModificationError');
        for (const inner of [...entry.keys()]) {
          await folderHandle(key, entry, disk).removeEntry(inner, { recursive });
        }
      }
      change(disk);
      folder.delete(key);
    },
    async *entries() {
      for (const [key, entry] of folder) yield [key, handleOf(key, entry)];
    },
    async *values() {
      for (const [key, entry] of folder) yield handleOf(key, entry);
    },
    async *keys() {
      yield* folder.keys();
    },
  };
  return handle as unknown as FileSystemDirectoryHandle;
}

function fileHandle(name: string, file: FakeFile, disk: FakeDisk): FileSystemFileHandle {
  const assertFits = (bytes: Uint8Array) => {
    if (disk.usedBytes() - file.bytes.length + bytes.length > disk.quotaBytes) {
      throw new DOMException(name, 'QuotaExceededError');
    }
  };
  const sync = {
    truncate(size: number) {
      change(disk);
      file.bytes = file.bytes.slice(0, size);
    },
    write(bytes: Uint8Array, { at }: { at: number }) {
      assertFits(bytes);
      const cut = disk.changesLeft <= 0;
      file.bytes = joined(
        file.bytes.subarray(0, at),
        cut ? bytes.subarray(bytes.length / 2) : bytes,
      );
      change(disk);
      return bytes.length;
    },
    flush: () => change(disk),
    close() {},
  };
  const stream = () => {
    let copy = new Uint8Array(0);
    return {
      async write(bytes: Uint8Array) {
        assertFits(bytes);
        copy = joined(copy, bytes);
      },
      async close() {
        change(disk);
        file.bytes = copy;
      },
      async abort() {},
    };
  };
  const handle = {
    kind: 'file',
    name,
    getFile: async () => new File([file.bytes as Uint8Array<ArrayBuffer>], name),
    createWritable: async () => stream(),
    ...(disk.way === 'sync' && { createSyncAccessHandle: async () => sync }),
  };
  return handle as unknown as FileSystemFileHandle;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
