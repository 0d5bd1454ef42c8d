/** Copy files of a model folder byte for byte. */
import type { ByteSink, ByteSource, FileStore } from '@mha2mla/checkpoint';
import type { ResultOutput } from './result-output';

/** Files are copied in parts: a tokenizer of 256 thousand tokens takes some 35 MB. */
const PART_BYTES = 4 * 2 ** 20;

/** Copy those of the files that the folder has. */
export async function copyFiles(
  store: FileStore,
  output: ResultOutput,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    const file = await store.open(name);
    if (file) await output.write(name, (sink) => copyBytes(file, sink));
  }
}

/** Copy all bytes of a file, part by part. */
export async function copyBytes(file: ByteSource, sink: ByteSink): Promise<void> {
  for (let start = 0; start < file.size; start += PART_BYTES) {
    await sink.write(await file.read(start, Math.min(start + PART_BYTES, file.size)));
  }
}
