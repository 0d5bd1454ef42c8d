import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const repository = fileURLToPath(new URL('../../..', import.meta.url));

export const readRepositoryFile = (path: string) => readFileSync(join(repository, path), 'utf8');

/** Paths from the root that are tracked, or new and not ignored. */
export function repositoryFiles(...patterns: string[]): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'];
  const listed = execFileSync('git', [...args, '--', ...patterns], { cwd: repository });
  return listed.toString().split('\0').filter(Boolean).sort();
}
