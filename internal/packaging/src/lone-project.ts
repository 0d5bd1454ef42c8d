import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Manifest } from './published-packages';

const OURS = /^(@mha2mla\/|mha2mla$)/;

/**
 * Makes a project that holds one package of ours and what it declares, and the packages that the
 * project itself imports; an import of anything else fails there.
 * @param installed a project with all of them
 * @param folder of the new project, which must lie outside of `installed`
 */
export function loneProject(installed: string, folder: string, names: readonly string[]): void {
  const placed = new Set<string>();
  const place = (name: string): void => {
    if (placed.has(name)) return;
    placed.add(name);
    const from = join(installed, 'node_modules', name);
    const to = join(folder, 'node_modules', name);
    mkdirSync(dirname(to), { recursive: true });
    // A link's own imports are looked up where it leads to. Ours must find theirs here.
    if (OURS.test(name)) {
      cpSync(from, to, { recursive: true });
      for (const needed of needs(from)) place(needed);
    } else {
      symlinkSync(from, to);
    }
  };
  mkdirSync(folder, { recursive: true });
  names.forEach(place);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
}

/** What npm installs with a package, or asks its user for; not its optional peers. */
function needs(folder: string): string[] {
  const { dependencies, peerDependencies, peerDependenciesMeta }: Needing = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  );
  const peers = Object.keys(peerDependencies ?? {});
  const required = peers.filter((name) => !peerDependenciesMeta?.[name]?.optional);
  return [...Object.keys(dependencies ?? {}), ...required];
}

type Needing = Pick<Manifest, 'dependencies' | 'peerDependencies'> & {
  peerDependenciesMeta?: Record<string, { optional?: boolean }>;
};
