import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import { build, type Plugin } from 'esbuild';

const PACKAGE = fixture('packages/mha2mla');

/** Our packages from their sources, others from where npm has put them. */
const sources: Plugin = {
  name: 'sources',
  setup({ onResolve }) {
    onResolve({ filter: /^@mha2mla\// }, ({ path }) => {
      const [, name, entry = 'index'] = path.split('/');
      return { path: fixture(`packages/${name}/src/${entry}.ts`) };
    });
    onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
      kind === 'entry-point' ? undefined : { path, external: true },
    );
  },
};

export interface Bundle {
  /** Where the scripts are, `NAME.js` each. */
  folder: string;
  remove(): Promise<void>;
}

/**
 * Bundle scripts for processes and threads of a test's own, which cannot run the sources.
 * @param entries paths below this package's `src`, by the scripts' names.
 */
export async function bundleSources(entries: Readonly<Record<string, string>>): Promise<Bundle> {
  const cache = join(PACKAGE, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'bundle-'));
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const entryPoints = Object.entries(entries).map(([name, path]) => [
    name,
    join(PACKAGE, 'src', path),
  ]);
  await build({
    entryPoints: Object.fromEntries(entryPoints),
    outdir: folder,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    plugins: [sources],
  });
  return { folder, remove: () => rm(folder, { recursive: true }) };
}
