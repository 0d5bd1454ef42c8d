import { showJson } from '@mha2mla/checkpoint';
import { JobError } from '../../jobs/job-error';
import type { ContentRef } from '../../jobs/job-store';

/** Where things of a run lie, in a folder or a bucket: parts of a path below the store. */
export const RUNS = 'runs';

/** @throws JobError `bad-job` for what is no digest, and so might lead elsewhere. */
export function assertDigest(what: string, value: string): string {
  if (/^[0-9a-f]{64}$/.test(value)) return value;
  throw new JobError('bad-job', `store: ${what} must be 64 hexadecimal digits.`);
}

/** @throws JobError `bad-job` unless a model's folder is a path of plain names. */
export function assertModelFolder(path: string): string {
  if (path.split('/').every((name) => /^[\w.-]+$/.test(name) && !/^\.{1,2}$/.test(name)))
    return path;
  throw new JobError(
    'bad-job',
    `store: a model's folder must be plain names, got ${showJson(path)}.`,
  );
}

export function missing(store: string, { sha256 }: ContentRef): JobError {
  return new JobError(
    'missing-content',
    `store: ${store} must hold content ${sha256}, got none. If it was removed, remove the run's folder as well, and resume.`,
  );
}

/** @param got what was found in its place. */
export function damaged(store: string, { sha256 }: ContentRef, got: string): JobError {
  return new JobError(
    'damaged-content',
    `store: content of ${store} must be that which was written, ${sha256}, got ${got}. Remove the run's folder, and start again.`,
  );
}

/** Longest record of a job: a few contents, by name. */
export const MOST_RECORD_BYTES = 2 ** 16;
