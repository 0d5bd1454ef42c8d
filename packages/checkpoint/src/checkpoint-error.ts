/**
 * The one error class of this package. Callers test `code`, which is stable across versions; the
 * message says what was expected and what was found, and `cause` keeps the error underneath.
 */

/** What went wrong, stable across versions. */
export type CheckpointErrorCode =
  // bytes and names
  | 'bad-path'
  | 'bad-range'
  | 'short-read'
  | 'missing-file'
  | 'io'
  | 'too-large'
  // HTTP
  | 'http-status'
  | 'range-ignored'
  | 'source-changed'
  // text and JSON
  | 'not-utf8'
  | 'not-json'
  | 'not-object'
  | 'duplicate-key'
  | 'too-deep'
  // safetensors
  | 'header-too-small'
  | 'header-too-large'
  | 'header-past-end'
  | 'header-metadata'
  | 'header-entry'
  | 'unknown-dtype'
  | 'shape-overflow'
  | 'not-whole-bytes'
  | 'span-mismatch'
  | 'span-gap'
  | 'span-tail'
  | 'bad-index'
  | 'index-mismatch'
  // tensors
  | 'missing-tensor'
  | 'wrong-dtype'
  | 'wrong-shape'
  | 'out-of-range'
  | 'write-mismatch'
  // .pth
  | 'bad-zip'
  | 'bad-pickle'
  | 'bad-pth'
  | 'bad-ranks'
  // config.json
  | 'bad-config'
  | 'unsupported-config'
  // writing
  | 'output-exists'
  | 'output-locked'
  | 'resume-mismatch'
  | 'disk-full'
  // the browser's own storage
  | 'no-storage';

/** An error of reading or writing a checkpoint; test `code`, not the class. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
  readonly code: CheckpointErrorCode;

  constructor(code: CheckpointErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
