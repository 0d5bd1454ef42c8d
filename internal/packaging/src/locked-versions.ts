import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './repository';

/**
 * The versions that package-lock.json pins for what our packages need when installed. A name that is
 * locked at several versions is left out: one version would not fit all who ask for it.
 */
export function lockedVersions(): Record<string, string> {
  const lock: { packages: Record<string, { version: string; dev?: boolean; link?: boolean }> } =
    JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8'));
  const versions = new Map<string, Set<string>>();
  for (const [path, { version, dev, link }] of Object.entries(lock.packages)) {
    const name = path.split('node_modules/').at(-1)!;
    if (dev || link || name === path) continue;
    versions.set(name, (versions.get(name) ?? new Set()).add(version));
  }
  const unambiguous = [...versions].filter(([, found]) => found.size === 1);
  return Object.fromEntries(unambiguous.map(([name, found]) => [name, [...found][0]!]));
}
