import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { SharedStore } from '../../jobs/job-store';
import { openBucketStore } from './bucket-store';
import { folderStore } from './folder-store';

/** Where a store is, as `--store` has it. */
export interface StorePlace {
  /** A folder, or `s3://BUCKET/PREFIX`. */
  place: string;
  /** A folder of the caller's on this machine, for contents of a bucket that are in use. */
  scratch: string;
  /** With a folder: where models lie. Default in it. */
  models?: string;
}

/**
 * Open what all machines of a run can reach.
 * Server and credentials of a bucket are the AWS SDK's own settings (`AWS_ENDPOINT_URL_S3`,
 * `AWS_ACCESS_KEY_ID`, …).
 */
export async function openStore({ place, scratch, models }: StorePlace): Promise<SharedStore> {
  if (place.startsWith('s3:')) return openBucketStore(place, scratch);
  const folder = resolve(place);
  await mkdir(folder, { recursive: true });
  return folderStore(folder, models && resolve(models));
}
