import { copyFile } from 'node:fs/promises';
import type { Options } from 'tsup';

/** What every package builds: ESM with types and source maps, nothing bundled that npm can install. */
export const base: Options = {
  entry: ['src/index.ts'],
  format: ['esm'],
  target: 'es2022',
  platform: 'neutral',
  dts: true,
  sourcemap: true,
  clean: true,
  treeshake: true,
  // npm packs the licence from the package's own folder; the repository keeps one copy.
  onSuccess: () => copyFile('../../LICENSE', 'LICENSE'),
};
