import { lstat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Before anything runs: the folder of a file that will be written must be there, and no folder have
 * the file's name.
 * @param option the command and the option that named it.
 */
export async function assertFilePlace(option: string, path: string): Promise<void> {
  await lstat(dirname(path));
  const present = await lstat(path).catch(() => undefined);
  if (!present?.isDirectory()) return;
  throw new Error(`${option} must name a file, got the folder ${JSON.stringify(path)}.`);
}
