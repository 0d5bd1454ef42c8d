/** What can go wrong with a job, apart from its own work. */
export type JobErrorCode =
  /** A job that asks for what no job may: unknown kind, field out of range, path outside. */
  | 'bad-job'
  /** Bytes that a job needs are gone. */
  | 'missing-content'
  /** Bytes are not those that were written. */
  | 'damaged-content'
  /** The job was made by another version, or for another backend. */
  | 'other-version'
  /** A job that failed, after all of its tries. */
  | 'job-failed'
  /** The server or the store cannot be reached or refuses. */
  | 'engine';

/** A job that cannot be done; test its `code`. */
export class JobError extends Error {
  override readonly name = 'JobError';

  constructor(
    readonly code: JobErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
