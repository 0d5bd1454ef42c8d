/** Where a conversion or a healing writes: a folder that appears whole or not at all, or memory. */
import { type ByteSink, type ByteSource, concatBytes, memorySource } from '@mha2mla/checkpoint';

/** Where pieces of a result go; an unfinished run finds its own again. */
export interface ResultOutput {
  /** Whether an earlier, unfinished run left this piece whole. */
  has(name: string): Promise<boolean>;
  /** Write a piece, whole or not at all. */
  write(name: string, produce: (sink: ByteSink) => Promise<void>): Promise<void>;
  /** Open a piece that was written. */
  read(name: string): Promise<ByteSource>;
  /** Bytes that may still be written, where that is known. */
  freeBytes?(): Promise<number>;
  /** Make the result visible under its final name, without the pieces listed. */
  finish(scratch: readonly string[]): Promise<void>;
}

/** Keep the result in memory: for tests, small models and pages. */
export function memoryOutput(): ResultOutput & { files: Map<string, Uint8Array> } {
  const files = new Map<string, Uint8Array>();
  return {
    files,
    has: async (name) => files.has(name),
    async write(name, produce) {
      const parts: Uint8Array[] = [];
      await produce({
        write: async (bytes) => {
          parts.push(bytes.slice());
        },
      });
      files.set(name, concatBytes(parts));
    },
    async read(name) {
      const bytes = files.get(name);
      if (!bytes) throw new Error(`memoryOutput: expected a piece, got none named ${name}.`);
      return memorySource(bytes, name);
    },
    async finish(scratch) {
      for (const name of scratch) files.delete(name);
    },
  };
}

/** Write a JSON document as a piece. */
export function writeJson(
  output: Pick<ResultOutput, 'write'>,
  name: string,
  value: unknown,
): Promise<void> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
  return output.write(name, (sink) => sink.write(bytes));
}

/** Read a JSON piece of our own. */
export async function readOwnJson<T>(output: ResultOutput, name: string): Promise<T> {
  const source = await output.read(name);
  const bytes = await source.read(0, source.size);
  return JSON.parse(new TextDecoder().decode(bytes)) as T;
}
