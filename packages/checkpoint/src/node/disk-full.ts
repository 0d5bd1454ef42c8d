/** Tells a full disk, quota or file-size limit from other errors, with figures. */
import { CheckpointError } from '../checkpoint-error';
import { quoteName } from '../quote-name';
import { freeBytes } from './free-bytes';

const FULL: readonly unknown[] = ['ENOSPC', 'EFBIG', 'EDQUOT'];

/**
 * Turns a write error that means "no space" into `disk-full`; gives back any other error as it is.
 * @param path that was written
 * @param missingBytes that could not be written, at least
 */
export async function diskFullOr(
  error: unknown,
  path: string,
  missingBytes: number,
): Promise<unknown> {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (!FULL.includes(code)) return error;
  const free = await freeBytes(path).catch(() => undefined);
  const limit =
    code === 'EFBIG' ? 'The limit of file sizes (ulimit -f) is reached' : 'The disk is full';
  return new CheckpointError(
    'disk-full',
    `writeFile: ${quoteName(path)} must fit on the disk, at least ${missingBytes} bytes are missing${free === undefined ? '' : `, ${free} bytes are free`} (${code}). ${limit}. Nothing that was finished is lost; make room and run again with resume.`,
    { cause: error },
  );
}
