/** A store of files held in memory, for tests and for small files that an application already has. */
import { assertRange, type ByteSource, type FileStore } from './byte-source';
import { assertPlainName } from './plain-name';

/**
 * Makes a source of bytes in memory.
 * @param bytes held by reference; reads give copies
 */
export function memorySource(bytes: Uint8Array, name = 'memory'): ByteSource {
  const source: ByteSource = {
    name,
    size: bytes.byteLength,
    async read(start, end, signal) {
      signal?.throwIfAborted();
      assertRange(source, start, end);
      // Of a Node Buffer, `slice` would be a view.
      return Uint8Array.prototype.slice.call(bytes, start, end);
    },
  };
  return source;
}

/**
 * Makes a store of named bytes; a string stands for its UTF-8.
 * @param files names to contents
 */
export function memoryStore(
  files: ReadonlyMap<string, Uint8Array | string> | Readonly<Record<string, Uint8Array | string>>,
): FileStore {
  const entries: Iterable<[string, Uint8Array | string]> =
    files instanceof Map ? files : Object.entries(files);
  const byName = new Map(entries);
  return {
    name: 'memory',
    async open(path) {
      const content = byName.get(assertPlainName(path));
      if (content === undefined) return undefined;
      const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
      return memorySource(bytes, path);
    },
  };
}
