/**
 * A result folder that appears under its name only when whole. Files are made in `OUT.partial`,
 * each whole or not at all, with a record of their hashes; `finish` renames the folder. A killed run
 * leaves OUT untouched and OUT.partial ready to resume.
 */
import { mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CheckpointError } from '../checkpoint-error';
import { assertPlainName } from '../plain-name';
import { quoteName } from '../quote-name';
import type { ByteSink } from '../write-safetensors';
import { atomicWriteFile, TEMPORARY_NAME, type WrittenFile } from './atomic-write-file';
import { LOCK_NAME, lockFolder } from './folder-lock';
import { assertWritableTarget, type OutputTarget } from './output-target';
import {
  assertSameRun,
  type Fingerprint,
  hashFile,
  RECORD_NAME,
  type ResumeRecord,
  readRecord,
  writeRecord,
} from './resume-record';
import { syncFolder } from './sync-folder';

/** Options of `createOutputFolder`. */
export interface OutputFolderOptions {
  /** Continue an unfinished run when there is one. */
  resume?: boolean;
  /** Options and input hashes that decide the result, by the names that the user knows. */
  fingerprint: Fingerprint;
}

/**
 * Starts, or resumes, a result folder.
 * @returns the folder, locked for this process until `finish`, `abandon` or `close`
 * @throws CheckpointError `output-exists`, `output-locked`, `resume-mismatch`
 */
export async function createOutputFolder(
  out: string,
  { resume = false, fingerprint }: OutputFolderOptions,
): Promise<OutputFolder> {
  const target = await assertWritableTarget(out, { resume });
  await mkdir(target.partial, { recursive: true });
  const unlock = await lockFolder(target.partial);
  try {
    // Again, now that no other run of ours can change it.
    await assertWritableTarget(out, { resume });
    const found = await readRecord(target.partial);
    if (found !== undefined) assertSameRun(target.partial, found.fingerprint, fingerprint);
    const record = { fingerprint, pieces: found?.pieces ?? new Map() };
    await removeTemporaries(target.partial);
    await writeRecord(target.partial, record);
    return new OutputFolder(target, record, unlock);
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** An unfinished result folder; made by `createOutputFolder`. */
export class OutputFolder {
  readonly #target: OutputTarget;
  readonly #record: ResumeRecord;
  readonly #unlock: () => Promise<void>;
  /** Pieces whose bytes were written or checked by this process. */
  readonly #verified = new Set<string>();
  /** Record writes, one after the other. */
  #queue: Promise<void> = Promise.resolve();
  #open = true;

  constructor(target: OutputTarget, record: ResumeRecord, unlock: () => Promise<void>) {
    this.#target = target;
    this.#record = record;
    this.#unlock = unlock;
  }

  /** Absolute path of OUT.partial. */
  get path(): string {
    return this.#target.partial;
  }

  /** Names of the pieces that the record has; `hasFile` says whether one is sound. */
  get pieces(): string[] {
    return [...this.#record.pieces.keys()];
  }

  /** Whether a piece is there and its bytes are those that were written; a torn one is forgotten. */
  async hasFile(name: string): Promise<boolean> {
    const expected = this.#record.pieces.get(this.#checked(name));
    if (expected === undefined) return false;
    if (this.#verified.has(name)) return true;
    const actual = await hashFile(join(this.path, name));
    if (actual?.sha256 === expected.sha256) {
      this.#verified.add(name);
      return true;
    }
    await this.removeFile(name);
    return false;
  }

  /**
   * Writes a piece, whole or not at all; one of the same name is replaced.
   * `sizeBytes` is that of the whole file when it is known, for the message of a full disk.
   * @throws CheckpointError `bad-path`, `disk-full`; any error of `content`
   */
  async writeFile(
    name: string,
    content: Uint8Array | string | ((sink: ByteSink) => Promise<void>),
    { sizeBytes }: { sizeBytes?: number } = {},
  ): Promise<WrittenFile> {
    const path = join(this.path, this.#checked(name));
    this.#verified.delete(name);
    // Recorded before the rename: whatever moment a kill picks, no file is there without its hash.
    const beforeRename = (written: WrittenFile) => this.#note(name, written);
    const written = await atomicWriteFile(path, content, { sizeBytes, beforeRename });
    this.#verified.add(name);
    return written;
  }

  /**
   * Records a file that a worker wrote into `path` with `atomicWriteFile`.
   * @throws CheckpointError `missing-file`
   */
  async adoptFile(name: string): Promise<WrittenFile> {
    const written = await hashFile(join(this.path, this.#checked(name)));
    if (written === undefined) {
      throw new CheckpointError(
        'missing-file',
        `adoptFile: ${quoteName(name)} must be in ${quoteName(this.path)}. Write it first.`,
      );
    }
    await this.#note(name, written);
    this.#verified.add(name);
    return written;
  }

  /** Removes a piece, such as state that only a resumed run needs. */
  async removeFile(name: string): Promise<void> {
    await rm(join(this.path, this.#checked(name)), { force: true });
    this.#verified.delete(name);
    await this.#note(name, undefined);
  }

  /**
   * Publishes the folder as OUT. Write `config.json` last: a folder without it is unfinished.
   * @throws CheckpointError `output-exists` when OUT came to be meanwhile, or when the folder holds
   *   files that are no pieces
   */
  async finish(): Promise<void> {
    this.#assertOpen();
    const { out, partial } = this.#target;
    await this.#queue;
    const own = new Set([RECORD_NAME, LOCK_NAME, ...this.#record.pieces.keys()]);
    const foreign = (await readdir(partial)).filter((name) => !own.has(name));
    if (foreign.length > 0) {
      throw new CheckpointError(
        'output-exists',
        `finish: ${quoteName(partial)} must hold pieces of this run only, got ${foreign.slice(0, 5).map(quoteName).join(', ')}. Move them away and resume.`,
      );
    }
    await assertWritableTarget(out, { resume: true });
    await syncFolder(partial);
    await rmdir(out).catch(ignoreAbsent); // an empty folder: Windows cannot rename over it
    await rename(partial, out);
    this.#open = false;
    // The lock goes last, so a kill here leaves a whole model and two small hidden files.
    await rm(join(out, RECORD_NAME), { force: true });
    await rm(join(out, LOCK_NAME), { force: true });
    await syncFolder(dirname(out));
  }

  /** Gives the run up: removes its pieces, and OUT.partial when nothing else is in it. */
  async abandon(): Promise<void> {
    this.#assertOpen();
    await this.#queue;
    for (const name of this.#record.pieces.keys()) await rm(join(this.path, name), { force: true });
    await removeTemporaries(this.path);
    await rm(join(this.path, RECORD_NAME), { force: true });
    await this.close();
    await rmdir(this.path).catch(() => {}); // not empty: what is not ours stays
  }

  /** Unlocks the folder and leaves it to be resumed; after `finish` it does nothing. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#queue.catch(() => {}); // reported to the call that queued it
    await this.#unlock();
  }

  #checked(name: string): string {
    this.#assertOpen();
    if (name.startsWith('.mha2mla-') || TEMPORARY_NAME.test(name)) {
      throw new CheckpointError(
        'bad-path',
        `OutputFolder: names of our own files must not be used, got ${quoteName(name)}.`,
      );
    }
    return assertPlainName(name);
  }

  #assertOpen(): void {
    if (this.#open) return;
    throw new CheckpointError(
      'io',
      'OutputFolder: the folder must be open, got a finished or closed one.',
    );
  }

  /** Changes the record in memory and on disk; changes follow one another. */
  #note(name: string, written: WrittenFile | undefined): Promise<void> {
    const write = this.#queue.then(async () => {
      if (written === undefined) this.#record.pieces.delete(name);
      else this.#record.pieces.set(name, written);
      await writeRecord(this.path, this.#record);
    });
    this.#queue = write.catch(() => {});
    return write;
  }
}

async function removeTemporaries(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const leftover = TEMPORARY_NAME.test(name) || name.startsWith(`${LOCK_NAME}-`);
    if (leftover) await rm(join(folder, name), { force: true });
  }
}

function ignoreAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
