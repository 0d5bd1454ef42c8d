/**
 * Where the jobs of a run find what they need and leave what they made: bytes that never change,
 * named by their SHA-256, and what each job left, by the job's key.
 */
import type { ByteSink, ByteSource, FileStore } from '@mha2mla/checkpoint';

/** Some bytes in a store. */
export interface ContentRef {
  /** Of the bytes, in hex. */
  sha256: string;
  sizeBytes: number;
}

/** Where the jobs of a run leave bytes and find them. */
export interface JobStore {
  /** For messages; without secrets. */
  readonly name: string;
  /** Write bytes, whole or not at all; the same bytes twice are one content. */
  put(produce: (sink: ByteSink) => Promise<void>): Promise<ContentRef>;
  /**
   * Open bytes, once they are seen to be those that were written.
   * @throws JobError `missing-content`, `damaged-content`
   */
  open(ref: ContentRef, signal?: AbortSignal): Promise<ByteSource>;
  /** Remove bytes that nothing needs any more. */
  remove(ref: ContentRef): Promise<void>;
  /** What a job left, by the job's key; `undefined` where it was not done, or is forgotten. */
  readRecord(key: string): Promise<string | undefined>;
  /** Note what a job left. */
  writeRecord(key: string, text: string): Promise<void>;
}

/** What all machines of a run can reach: the stores of runs, and models. */
export interface SharedStore {
  /** For messages; without secrets. */
  readonly name: string;
  /**
   * The part of a run.
   * @param run 64 hex digits.
   */
  ofRun(run: string): JobStore;
  /** Remove all of a run. */
  removeRun(run: string): Promise<void>;
  /** Open a model's folder by its path. @throws JobError `bad-job` for a path that leads outside. */
  openModel(folder: string): Promise<FileStore>;
  /** Put a file of a model there, whole or not at all, unless it is there in this size. */
  putModelFile(folder: string, file: ByteSource): Promise<void>;
}
