/**
 * Paths that come from files, resolved and held inside a folder, by `realpath`, so that neither
 * `..` nor a link leads out of it.
 */
import { realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { CheckpointError } from '../checkpoint-error';
import { quoteName } from '../quote-name';

/**
 * Resolves the path of a picture or video that a data file names.
 * @param folder that holds the data file
 * @param relativePath as written in the file, with `/`; URLs, absolute and drive paths are refused
 * @returns the real path, inside the real path of `folder`
 * @throws CheckpointError `bad-path`, `missing-file`
 */
export async function resolveInside(folder: string, relativePath: string): Promise<string> {
  const shown = quoteName(relativePath);
  if (/^[a-z][a-z0-9+.-]*:/i.test(relativePath)) {
    throw new CheckpointError(
      'bad-path',
      `resolveInside: a file must be given by a path relative to its data file, got ${shown}. URLs are not fetched; download the file and name it.`,
    );
  }
  if (relativePath === '' || isAbsolute(relativePath) || /[\\\p{Cc}\p{Cs}]/u.test(relativePath)) {
    throw new CheckpointError(
      'bad-path',
      `resolveInside: a path must be relative, with "/" and no control characters, got ${shown}.`,
    );
  }
  // Before the disk is touched: a path outside must not even be tested for existence.
  if (!isInside(resolve(folder), resolve(folder, relativePath))) throw outside(shown);
  const [root, target] = await Promise.all([
    realpathOr(folder, quoteName(folder)),
    realpathOr(resolve(folder, relativePath), shown),
  ]);
  if (!isInside(root, target)) throw outside(shown);
  return target;
}

/** Whether `target` is `root` or lies below it; both must be absolute. */
export function isInside(root: string, target: string): boolean {
  const path = relative(root, target);
  return path !== '..' && !path.startsWith(`..${sep}`) && !isAbsolute(path);
}

/** `realpath`, with our error. */
export async function realpathOr(path: string, shown: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const absent = code === 'ENOENT' || code === 'ENOTDIR';
    throw new CheckpointError(
      absent ? 'missing-file' : 'io',
      `resolveInside: ${shown} must exist and be readable, got ${code}.`,
      { cause },
    );
  }
}

function outside(shown: string): CheckpointError {
  return new CheckpointError(
    'bad-path',
    `resolveInside: a path must stay inside of its folder, got ${shown}. A link that leads out is refused as well.`,
  );
}
