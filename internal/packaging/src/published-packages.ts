import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './repository';

export interface Manifest {
  name: string;
  version: string;
  private?: boolean;
  bin?: Record<string, string>;
  exports: Record<string, string | { types: string; default: string }>;
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  scripts?: Record<string, string>;
  [key: string]: unknown;
}

export interface PublishedPackage {
  manifest: Manifest;
  /** The folder's name below packages/. */
  folder: string;
  /** What a user may write after `import`, JSON apart: `@mha2mla/checkpoint`, `@mha2mla/checkpoint/node`. */
  entries: string[];
}

/** Reads the manifest of every package that is published. */
export function publishedPackages(): PublishedPackage[] {
  return readdirSync(join(repository, 'packages'))
    .map((folder) => {
      const file = join(repository, 'packages', folder, 'package.json');
      const manifest: Manifest = JSON.parse(readFileSync(file, 'utf8'));
      const paths = Object.keys(manifest.exports).filter((path) => !path.endsWith('.json'));
      return { manifest, folder, entries: paths.map((path) => manifest.name + path.slice(1)) };
    })
    .filter(({ manifest }) => !manifest.private);
}
