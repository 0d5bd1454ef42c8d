import { watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import type { Running } from './start-process';

/**
 * Kill a process by SIGKILL once a file of some name comes or changes in a folder.
 * @returns how the process ended, and the names that were seen until then.
 */
export async function killAtFile(
  { child, ended }: Running,
  folder: string,
  file?: RegExp,
): Promise<{ end: number | string | null; seen: readonly string[] }> {
  await mkdir(folder, { recursive: true });
  const seen: string[] = [];
  const watcher = watch(folder, (_, name) => {
    if (!name) return;
    seen.push(name);
    if (file?.test(name)) child.kill('SIGKILL');
  });
  const end = await ended;
  watcher.close();
  return { end, seen };
}
