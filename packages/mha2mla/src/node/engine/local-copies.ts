/** Contents of a bucket that lie in a folder of this machine while they are read, those read last. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ByteSource } from '@mha2mla/checkpoint';
import type { ContentRef } from '../../jobs/job-store';
import { sourceOfFile } from './source-of-file';

export interface LocalCopies {
  /** A path that nothing else has, for a file to {@link adopt}. */
  path(): string;
  /**
   * A content that is read here, from a copy that is fetched again if it had to make room.
   * @param fetch brings it to a path, and throws if it is not what was written.
   */
  open(key: string, ref: ContentRef, fetch: (path: string) => Promise<void>): Promise<ByteSource>;
  /** Take a file for a content's copy, where there is none, and the trouble to remove it. */
  adopt(key: string, path: string): Promise<void>;
  /** Remove the copies of the keys that begin so. */
  forget(start: string): Promise<void>;
}

export interface LocalCopiesOptions {
  /** Copies that stay, however long nobody reads them: a job reads one after the other. */
  most?: number;
  /** Whoever reads a copy reads again before this; others make room. */
  idleMs?: number;
}

interface Copy {
  path: string;
  ready: Promise<void>;
  readers: number;
  readAt: number;
}

/** @param folder of the caller's, who removes it at the end. */
export function localCopies(
  folder: string,
  { most = 4, idleMs = 10_000 }: LocalCopiesOptions = {},
): LocalCopies {
  /** By key; those that were read last come last. */
  const copies = new Map<string, Copy>();

  return {
    path: newPath,
    async open(key, ref, fetch) {
      await withCopy(key, fetch, async () => {});
      return {
        name: ref.sha256,
        size: ref.sizeBytes,
        read: (start, end, signal) =>
          withCopy(key, fetch, (path) => sourceOfFile(path, ref).read(start, end, signal)),
      };
    },
    async adopt(key, path) {
      if (copies.has(key)) return rm(path, { force: true }); // somebody may be reading that
      touch(key, { path, ready: Promise.resolve(), readers: 0, readAt: 0 });
      makeRoom();
    },
    async forget(start) {
      const found = [...copies].filter(([key]) => key.startsWith(start));
      await Promise.all(found.map(([key, copy]) => removeCopy(key, copy)));
    },
  };

  function newPath(): string {
    return join(folder, randomUUID());
  }

  async function withCopy<T>(
    key: string,
    fetch: (path: string) => Promise<void>,
    use: (path: string) => Promise<T>,
  ): Promise<T> {
    const copy = copies.get(key) ?? fetchCopy(key, fetch);
    touch(key, copy);
    copy.readers++;
    try {
      await copy.ready;
      return await use(copy.path);
    } finally {
      copy.readers--;
      makeRoom();
    }
  }

  function fetchCopy(key: string, fetch: (path: string) => Promise<void>): Copy {
    const path = newPath();
    const copy = { path, ready: fetch(path), readers: 0, readAt: 0 };
    copy.ready.catch(() => {
      if (copies.get(key) === copy) copies.delete(key); // it may be there the next time
    });
    return copy;
  }

  function touch(key: string, copy: Copy): void {
    copy.readAt = Date.now();
    copies.delete(key);
    copies.set(key, copy);
  }

  function makeRoom(): void {
    for (const [key, copy] of [...copies].slice(0, -most)) {
      const idle = Date.now() - copy.readAt >= idleMs;
      if (idle && copy.readers === 0) void removeCopy(key, copy);
    }
  }

  async function removeCopy(key: string, { path, ready }: Copy): Promise<void> {
    copies.delete(key);
    await ready.catch(() => {});
    await rm(path, { force: true });
  }
}
