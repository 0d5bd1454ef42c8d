import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const repository = fileURLToPath(new URL('../../..', import.meta.url));

export const readRepositoryFile = (path: string) => readFileSync(join(repository, path), 'utf8');

/** What is installed, built or left by runs; `.git` is no folder of the repository. */
const SKIPPED = /^(node_modules|dist|out|release|coverage|reference|target|\.(git|turbo|venv))$/;

/** Paths from the root, in order, of the files below a folder whose names end so. */
export function repositoryFiles(ending: string, folder = ''): string[] {
  return readdirSync(join(repository, folder), { withFileTypes: true })
    .filter(({ name }) => !SKIPPED.test(name))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return repositoryFiles(ending, path);
      return entry.isFile() && path.endsWith(ending) ? [path] : [];
    })
    .sort();
}
