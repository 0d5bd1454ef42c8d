/** What a WebGPU device has reported instead of results; test `code`, not the class. */
export class DeviceFailedError extends Error {
  override readonly name = 'DeviceFailedError';

  /** @param code `device-lost` where all that the device held is gone: load the model again. */
  constructor(
    readonly code: 'device-failed' | 'device-lost',
    messages: readonly string[],
    cause?: unknown,
  ) {
    super(
      `The WebGPU device must run without errors, got ${messages.length}: ${messages[0]} Results since then are not valid.`,
      { cause },
    );
  }
}
