import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockedVersions } from './locked-versions';
import { packPackages } from './pack-packages';
import type { PublishedPackage } from './published-packages';

/** Packs the packages and installs the tarballs into a folder, as a user's project. */
export function installPackages(packages: PublishedPackage[], folder: string): void {
  mkdirSync(folder, { recursive: true });
  const tarballs = packPackages(packages, folder);
  const versions = lockedVersions();
  const dependencies = Object.fromEntries(
    [...tarballs].map(([name, { path }]) => [name, `file:${path}`]),
  );
  dependencies['@tensorflow/tfjs-core'] = versions['@tensorflow/tfjs-core']!;
  const project = { private: true, type: 'module', dependencies, overrides: versions };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(project));
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  execFileSync('npm', ['install', ...flags], { cwd: folder, stdio: 'pipe' });
}
