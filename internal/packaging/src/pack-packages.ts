import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { PublishedPackage } from './published-packages';
import { repository } from './repository';

export interface Tarball {
  path: string;
  sizeBytes: number;
  files: string[];
}

interface PackedPackage {
  name: string;
  filename: string;
  size: number;
  files: { path: string }[];
}

/** Packs the packages as `npm publish` would, from what was built last; returns the tarballs by name. */
export function packPackages(packages: PublishedPackage[], into: string): Map<string, Tarball> {
  for (const { folder } of packages) {
    if (!existsSync(join(repository, 'packages', folder, 'dist'))) {
      throw new Error(`packPackages: packages/${folder} must be built. Run npm run build first.`);
    }
  }
  const workspaces = packages.map(({ folder }) => `--workspace=packages/${folder}`);
  const output = execFileSync(
    'npm',
    ['pack', '--json', '--ignore-scripts', `--pack-destination=${into}`, ...workspaces],
    { cwd: repository, encoding: 'utf8' },
  );
  const packed: PackedPackage[] = Object.values(JSON.parse(output));
  return new Map(
    packed.map(({ name, filename, size, files }) => [
      name,
      { path: join(into, filename), sizeBytes: size, files: files.map(({ path }) => path) },
    ]),
  );
}
