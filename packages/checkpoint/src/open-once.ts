import type { FileStore } from './byte-source';

/** A view of a store that opens each file once: a request less, and one version for all who read it. */
export function openOnce(store: FileStore, signal?: AbortSignal): FileStore {
  const opened = new Map<string, ReturnType<FileStore['open']>>();
  return {
    name: store.name,
    open(path) {
      const opening = opened.get(path) ?? store.open(path, signal);
      opened.set(path, opening);
      return opening;
    },
  };
}
