/**
 * Where a result may be written: OUT must be absent, an empty folder, or an unfinished run that is
 * to be resumed. Checked before anything loads; nothing that is there is ever deleted.
 */
import { lstat, readdir, realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CheckpointError } from '../checkpoint-error';
import { quoteName } from '../quote-name';
import { TEMPORARY_NAME } from './atomic-write-file';
import { LOCK_NAME } from './folder-lock';
import { RECORD_NAME } from './resume-record';

/** The folders of a run, absolute. */
export interface OutputTarget {
  /** Where the result will be. */
  out: string;
  /** Beside it, on the same disk; always the same name. */
  partial: string;
}

/**
 * Checks that a result may be written to `out`.
 * @throws CheckpointError `output-exists`
 */
export async function assertWritableTarget(
  out: string,
  { resume = false }: { resume?: boolean } = {},
): Promise<OutputTarget> {
  const absolute = resolve(out);
  const target = await realpath(absolute).catch(() => absolute);
  const partial = `${target}.partial`;
  const present = await entriesOf(target);
  if (present !== undefined && present.length > 0) {
    throw exists(
      `${quoteName(out)} must be absent or an empty folder, got ${present.length} entries. Choose another name`,
    );
  }
  const unfinished = await entriesOf(partial);
  if (unfinished === undefined) return { out: target, partial };
  if (unfinished.includes(RECORD_NAME)) {
    if (!resume) {
      throw exists(
        `${quoteName(partial)} holds an unfinished run. Continue it with resume, or delete it to start anew`,
      );
    }
  } else if (!unfinished.every((name) => name.startsWith(LOCK_NAME) || TEMPORARY_NAME.test(name))) {
    throw exists(
      `${quoteName(partial)} must be absent or an unfinished run of ours, got other files. Move them away`,
    );
  }
  return { out: target, partial };
}

/** Names in a folder; `undefined` when there is nothing of this name. */
async function entriesOf(folder: string): Promise<string[] | undefined> {
  try {
    if (!(await lstat(folder)).isDirectory()) {
      throw exists(`${quoteName(folder)} must be a folder, got a file or a link`);
    }
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function exists(problem: string): CheckpointError {
  return new CheckpointError('output-exists', `assertWritableTarget: ${problem}.`);
}
