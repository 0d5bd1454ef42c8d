/** A bucket of S3, or of a server that speaks its protocol, by the official client, with errors in our words. */
import type { S3Client } from '@aws-sdk/client-s3';
import { CheckpointError, quoteName } from '@mha2mla/checkpoint';
import { JobError } from '../../jobs/job-error';
import { importPeer } from './import-peer';

/** What {@link importPeer} says to install. */
export const S3_PACKAGES = '@aws-sdk/client-s3 @aws-sdk/lib-storage';

export interface Bucket {
  sdk: typeof import('@aws-sdk/client-s3');
  client: S3Client;
  /** For messages; without secrets. */
  name: string;
  /** A key below the prefix, as requests name it. */
  at(key: string): { Bucket: string; Key: string };
  /** @throws JobError `engine` for what the server refuses; an error of ours, and the signal's, as it is. */
  ask<T>(request: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** The same; `undefined` where there is no such key. */
  find<T>(request: () => Promise<T>): Promise<T | undefined>;
}

/** The SDK would wait for ever for a network that is gone. */
const TIMEOUTS = { connectionTimeout: 5_000, socketTimeout: 60_000 };

/** Names of S3, and no prefix that could mean another place to somebody. */
const FORM = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,62})((?:\/(?!\.{1,2}(?:\/|$))[\w.-]+)*)\/?$/;

/**
 * @param place `s3://BUCKET/PREFIX`; server, region and credentials are the SDK's own settings.
 * @throws JobError `engine` for another form, without the SDK, or where the bucket does not answer.
 */
export async function openBucket(place: string): Promise<Bucket> {
  const [, name, folder] = FORM.exec(place) ?? [];
  if (name === undefined) {
    throw new JobError('engine', 'store: expected s3://BUCKET/PREFIX, got another form.');
  }
  const sdk = await importPeer(() => import('@aws-sdk/client-s3'), S3_PACKAGES);
  const own = process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL;
  const client = new sdk.S3Client({
    // Servers other than Amazon's seldom have a host name for each bucket.
    forcePathStyle: own !== undefined,
    requestHandler: TIMEOUTS,
    // Hashes of ours say more, and by whose fault.
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  const bucket: Bucket = {
    ...{ sdk, client, name: place },
    at: (key) => ({ Bucket: name, Key: [...folder!.split('/').slice(1), key].join('/') }),
    async ask(request, signal) {
      try {
        return await request();
      } catch (cause) {
        signal?.throwIfAborted();
        if (cause instanceof CheckpointError || cause instanceof JobError) throw cause;
        throw refused(place, cause);
      }
    },
    find: (request) =>
      bucket.ask(() =>
        request().catch((cause) => {
          if (['NoSuchKey', 'NotFound'].includes(cause.name)) return undefined;
          throw cause;
        }),
      ),
  };
  // By a request whose refusal says why, which those for one key do not.
  const { Bucket, Key: Prefix } = bucket.at('');
  const first = new sdk.ListObjectsV2Command({ Bucket, Prefix, MaxKeys: 1 });
  await bucket.ask(() => client.send(first));
  return bucket;
}

const HINTS: [codes: RegExp, hint: string][] = [
  [/^NoSuchBucket$/, 'Make the bucket first.'],
  [
    /Credentials|AccessKeyId|SignatureDoesNotMatch|AccessDenied|Forbidden|Token|^403$/,
    'Do AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong to somebody who may list, read and write there?',
  ],
  [
    /^E[A-Z_]+$|Timeout/,
    'Is the server up, and AWS_ENDPOINT_URL_S3 its address, if it is not Amazon?',
  ],
  [/^PreconditionFailed$/, 'The model was changed while it was read; start the run anew.'],
];

function refused(place: string, cause: unknown): JobError {
  const { name, code: system, message } = cause as NodeJS.ErrnoException;
  const code = system ?? name;
  const hint = HINTS.find(([codes]) => codes.test(code))?.[1];
  const got = `${code.slice(0, 40)}: ${quoteName(message)}`;
  return new JobError(
    'engine',
    `store: ${place} must answer, got ${got}.${hint ? ` ${hint}` : ''}`,
    { cause },
  );
}
