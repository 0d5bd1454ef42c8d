/** What tests use of `@mha2mla/checkpoint/node`, in a page: folders of the repository. */
import { readFileSync } from './fs';

interface Source {
  name: string;
  size: number;
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
}

export async function nodeStore(folder: string) {
  return {
    name: folder,
    async open(name: string): Promise<Source | undefined> {
      const bytes = readIfThere(`${folder}/${name}`);
      if (!bytes) return undefined;
      return { name, size: bytes.length, read: async (start, end) => bytes.slice(start, end) };
    },
    close: async () => {},
  };
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
