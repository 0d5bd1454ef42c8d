import type { ByteSource } from '@mha2mla/checkpoint';
import { fileSource } from '@mha2mla/checkpoint/node';
import type { ContentRef } from '../../jobs/job-store';

/** A file that is open only while it is read, so that nobody has to close it. */
export function sourceOfFile(path: string, { sha256, sizeBytes }: ContentRef): ByteSource {
  return {
    name: sha256,
    size: sizeBytes,
    async read(start, end, signal) {
      const file = await fileSource(path, sha256);
      try {
        return await file.read(start, end, signal);
      } finally {
        await file.close();
      }
    },
  };
}
