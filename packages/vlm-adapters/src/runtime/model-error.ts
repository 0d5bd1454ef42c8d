/** What went wrong with a loaded model, stable across versions. */
export type ModelErrorCode =
  /** It was used after `dispose()`. */
  | 'disposed'
  /** Another TensorFlow.js backend is in use than it was loaded on. */
  | 'backend-changed'
  /** A message or a request is of a form that is not known. */
  | 'bad-request'
  /** A picture cannot be decoded, or not here. */
  | 'bad-image'
  /** The worker's script did not load, or threw outside of a request. */
  | 'worker-failed';

export const DISPOSED = 'chat: the model must be loaded, got one that was disposed.';

/** An error of a loaded model; test `code`, not the class, which two copies of a package have twice. */
export class ModelError extends Error {
  override readonly name = 'ModelError';

  constructor(
    readonly code: ModelErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}
