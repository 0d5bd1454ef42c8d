import type { ByteSource, FileStore } from '@mha2mla/checkpoint';
import { unlessAborted } from '../unless-aborted';

/**
 * The same files, given up once the signal aborts, whoever reads them.
 * @param onRead gets the bytes of each read.
 */
export function watchedStore(
  store: FileStore,
  signal: AbortSignal | undefined,
  onRead: (bytes: number) => void,
): FileStore {
  const watch = (source: ByteSource): ByteSource => ({
    name: source.name,
    size: source.size,
    async read(start, end) {
      signal?.throwIfAborted();
      const bytes = await source.read(start, end, signal);
      onRead(bytes.byteLength);
      return bytes;
    },
  });
  return {
    name: store.name,
    async open(path) {
      signal?.throwIfAborted();
      const source = await unlessAborted(store.open(path), signal);
      return source && watch(source);
    },
  };
}
