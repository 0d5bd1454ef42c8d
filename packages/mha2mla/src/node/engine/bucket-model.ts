import type { Readable } from 'node:stream';
import { assertPlainName, CheckpointError, type FileStore, quoteName } from '@mha2mla/checkpoint';
import type { Bucket } from './bucket';

/** A model's files in a bucket, read by ranges of the version that was opened. */
export function bucketModel(bucket: Bucket, folder: string): FileStore {
  const { client, sdk, name } = bucket;
  return {
    name: `${name}/${folder}`,
    async open(path) {
      const file = bucket.at(`${folder}/${assertPlainName(path)}`);
      const head = await bucket.find(() => client.send(new sdk.HeadObjectCommand(file)));
      if (!head) return undefined;
      const { ContentLength: size = 0, ETag: IfMatch } = head;
      return { name: path, size, read };

      async function read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
        signal?.throwIfAborted();
        const whole = Number.isSafeInteger(start) && Number.isSafeInteger(end);
        if (!(whole && start >= 0 && start <= end && end <= size)) {
          throw failed(
            'bad-range',
            `a range must lie within its ${size} bytes`,
            `${start}..${end}`,
          );
        }
        if (start === end) return new Uint8Array();
        const Range = `bytes=${start}-${end - 1}`;
        const command = new sdk.GetObjectCommand({ ...file, Range, IfMatch });
        return bucket.ask(async () => {
          const { Body, ContentLength = 0 } = await client.send(command, { abortSignal: signal });
          // Before anything is held: a server may send the whole file.
          if (ContentLength === end - start) return Body!.transformToByteArray();
          (Body as Readable).destroy();
          throw failed('short-read', `the server must give ${end - start} bytes`, ContentLength);
        }, signal);
      }

      function failed(code: 'bad-range' | 'short-read', expected: string, got: number | string) {
        return new CheckpointError(code, `read: of ${quoteName(path)} ${expected}, got ${got}.`);
      }
    },
  };
}
