import { quoteName } from '@mha2mla/checkpoint';
import { fileSource } from '@mha2mla/checkpoint/node';

/**
 * Read a file whole.
 * @param options.name for messages.
 * @throws CheckpointError `missing-file`, `io`; RangeError when it has more than `maxBytes`.
 */
export async function readWholeFile(
  path: string,
  { name = path, maxBytes }: { name?: string; maxBytes: number },
): Promise<Uint8Array> {
  const source = await fileSource(path, name);
  try {
    if (source.size <= maxBytes) return await source.read(0, source.size);
  } finally {
    await source.close();
  }
  throw new RangeError(
    `readWholeFile: ${quoteName(name)} must have at most ${maxBytes} bytes, got ${source.size}.`,
  );
}
