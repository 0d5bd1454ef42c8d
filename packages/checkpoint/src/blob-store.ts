/** Reads a checkpoint from `File`s and `Blob`s by slices: a local folder in a page is never copied. */
import { assertRange, assertWholeRead, type ByteSource, type FileStore } from './byte-source';
import { CheckpointError } from './checkpoint-error';
import { assertPlainName } from './plain-name';
import { quoteName } from './quote-name';

/**
 * Makes a source of a `Blob` or `File`.
 * @param blob held by reference, read by slices
 * @param name for messages and as `TensorInfo.file`
 */
export function blobSource(blob: Blob, name: string): ByteSource {
  const source: ByteSource = {
    name,
    size: blob.size,
    version: 'lastModified' in blob ? String(blob.lastModified) : undefined,
    async read(start, end, signal) {
      signal?.throwIfAborted();
      assertRange(source, start, end);
      const bytes = await sliceBytes(blob, start, end, name);
      signal?.throwIfAborted();
      assertWholeRead(source, start, end, bytes.byteLength);
      return bytes;
    },
  };
  return source;
}

/**
 * Makes a store of files, found by their base names (`<input webkitdirectory>`, drag and drop).
 * @throws CheckpointError `bad-path` for two files of one name: which one is meant cannot be told
 */
export function blobStore(files: Iterable<File>): FileStore {
  const byName = new Map<string, File>();
  for (const file of files) {
    if (byName.has(file.name)) {
      throw new CheckpointError(
        'bad-path',
        `blobStore: file names must differ, got ${quoteName(file.name)} twice. Give the files of one folder.`,
      );
    }
    byName.set(file.name, file);
  }
  return {
    name: 'files',
    async open(path) {
      const file = byName.get(assertPlainName(path));
      return file && blobSource(file, path);
    },
  };
}

async function sliceBytes(
  blob: Blob,
  start: number,
  end: number,
  name: string,
): Promise<Uint8Array> {
  try {
    return new Uint8Array(await blob.slice(start, end).arrayBuffer());
  } catch (cause) {
    throw new CheckpointError(
      'io',
      `blobSource: bytes ${start}..${end} of ${quoteName(name)} must be readable. The file was moved or changed; choose it again.`,
      { cause },
    );
  }
}
