/** Whether a model fits into the storage that the browser gives to an origin, in figures. */
import { CheckpointError } from '../checkpoint-error';
import { quoteName } from '../quote-name';
import { errorName } from './kept-folder';

/** @throws CheckpointError `disk-full`, before anything is downloaded in vain. */
export async function assertSpace(name: string, missingBytes: number): Promise<void> {
  const { free } = await estimate();
  if (free !== undefined && missingBytes > free) throw await storageFull(name, missingBytes);
}

/** An error of writing that means "no space" as `disk-full`; any other as it is. */
export async function storageFullOr(
  error: unknown,
  name: string,
  missingBytes: number,
): Promise<unknown> {
  if (errorName(error) !== 'QuotaExceededError') return error;
  return storageFull(name, missingBytes, error);
}

async function storageFull(
  name: string,
  missingBytes: number,
  cause?: unknown,
): Promise<CheckpointError> {
  const { free, quota } = await estimate();
  const got = free === undefined ? 'too few' : `${free} free of ${quota}`;
  return new CheckpointError(
    'disk-full',
    `keepModel: ${quoteName(name)} needs ${missingBytes} bytes more in the browser's storage, got ${got}. What was kept of it stays; remove another kept model or make room on the disk, and keep it again.`,
    { cause },
  );
}

async function estimate(): Promise<{ free?: number; quota?: number }> {
  const { quota, usage } = (await globalThis.navigator?.storage?.estimate?.()) ?? {};
  if (quota === undefined || usage === undefined) return {};
  return { free: Math.max(quota - usage, 0), quota };
}
