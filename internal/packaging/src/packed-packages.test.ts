/** What npm would publish: contents, size, maps, types, as publint and attw see them. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packPackages, type Tarball } from './pack-packages';
import { publishedPackages } from './published-packages';
import { repository } from './repository';

/** Twice the largest, lowrank with its wasm and maps: a fixture or model packed by mistake stands out. */
const MAX_TARBALL_BYTES = 768 * 1024;
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall', 'prepare'];

const packages = publishedPackages();
let folder: string;
let tarballs: Map<string, Tarball>;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mha2mla-packed-'));
  tarballs = packPackages(packages, folder);
  for (const [name, { sizeBytes }] of tarballs) {
    console.log(`${name.padEnd(24)}${(sizeBytes / 1024).toFixed(1).padStart(8)} KiB packed`);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(packages)('$manifest.name', ({ manifest, folder: name }) => {
  const read = (path: string) => readFileSync(join(repository, 'packages', name, path), 'utf8');
  const packedFiles = () => tarballs.get(manifest.name)!.files;

  test('the manifest says what npm, bundlers and provenance need', () => {
    expect(manifest).toMatchObject({
      type: 'module',
      sideEffects: false,
      license: 'Apache-2.0',
      engines: { node: '>=20.19.0' },
      publishConfig: { access: 'public', provenance: true },
      repository: { directory: `packages/${name}` },
    });
    const files = manifest.bin ? ['dist', 'bin'] : ['dist'];
    expect(manifest.files).toEqual([...files, 'CHANGELOG.md']);
    for (const key of ['description', 'keywords', 'homepage', 'bugs', 'author']) {
      expect(manifest, key).toHaveProperty(key);
    }
    const scripts = Object.keys(manifest.scripts ?? {});
    expect(scripts.filter((script) => INSTALL_SCRIPTS.includes(script))).toEqual([]);
  });

  test('the engine of tfjs stays a singleton: tfjs-core is a peer, never a dependency', () => {
    expect(Object.keys(manifest.dependencies ?? {})).not.toContain('@tensorflow/tfjs-core');
  });

  test('the tarball holds README, LICENSE, dist and bin, a changelog once there is one, nothing else', () => {
    const top = new Set(packedFiles().map((path) => path.split('/')[0]));
    const expected = ['LICENSE', 'README.md', 'dist', 'package.json'];
    if (manifest.bin) expected.push('bin');
    if (manifest.version !== '0.0.0') expected.push('CHANGELOG.md');
    expect([...top].sort()).toEqual(expected.sort());
    for (const path of packedFiles().filter((path) => path.startsWith('dist/'))) {
      expect(path).toMatch(/\.(js|js\.map|d\.ts)$/);
    }
    // Types are for what a user may import; threads and commands have none.
    const typed = packedFiles().filter((path) =>
      /^dist\/[^-]+(-worker|-thread)?\.d\.ts$/.test(path),
    );
    const wanted = Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? [] : [target.types.slice('./'.length)],
    );
    expect(typed.sort()).toEqual(wanted.sort());
    expect(read('LICENSE')).toBe(readFileSync(join(repository, 'LICENSE'), 'utf8'));
  });

  test('every export and bin is in the tarball, as ESM with types', () => {
    const paths = Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? [target] : [target.types, target.default],
    );
    for (const path of [...paths, ...Object.values(manifest.bin ?? {})]) {
      expect(packedFiles()).toContain(path.replace(/^\.\//, ''));
    }
  });

  test('source maps carry their sources, all from inside the package', () => {
    for (const path of packedFiles().filter((path) => path.endsWith('.map'))) {
      const map: { sources: string[]; sourcesContent?: (string | null)[] } = JSON.parse(read(path));
      for (const source of map.sources) expect(source).toMatch(/^\.\.\/src\//);
      expect(
        (map.sourcesContent ?? []).filter((content) => typeof content === 'string'),
      ).toHaveLength(map.sources.length);
    }
  });

  test('no file names the machine that built it', () => {
    for (const path of packedFiles()) expect(read(path).includes(repository), path).toBe(false);
  });

  test('the tarball is small', () => {
    expect(tarballs.get(manifest.name)!.sizeBytes).toBeLessThan(MAX_TARBALL_BYTES);
  });

  test('publint has nothing to say', async () => {
    const tarball = new Uint8Array(readFileSync(tarballs.get(manifest.name)!.path)).buffer;
    const { messages, pkg } = await publint({ pack: { tarball }, strict: true });
    expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([]);
  });

  test('attw finds the types of every entry', async () => {
    const attw = join(repository, 'node_modules/@arethetypeswrong/cli/dist/index.js');
    const args = [attw, tarballs.get(manifest.name)!.path, '--profile', 'esm-only'];
    const run = promisify(execFile)(process.execPath, [...args, '--no-color', '--no-emoji']);
    await run.catch((error) => expect.fail(error.stdout));
  });
});

interface Locked {
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  hasInstallScript?: boolean;
}

/** What is installed with our packages, by its place; an optional peer is its user's choice. */
function requiredPackages(locked: Record<string, Locked>): Set<string> {
  const found = new Set<string>();
  const visit = (names: Record<string, string> = {}, from: string): void => {
    for (const name of Object.keys(names)) {
      let folder = from;
      while (folder !== '' && !locked[`${folder}/node_modules/${name}`]) {
        folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')));
      }
      const place = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
      const own = locked[place];
      if (!own || found.has(place)) continue;
      found.add(place);
      visit({ ...own.dependencies, ...own.optionalDependencies }, place);
    }
  };
  for (const { manifest } of packages) visit(manifest.dependencies, '');
  return found;
}

test('neither our packages nor what they require run a script when installed', () => {
  const lock: { packages: Record<string, Locked> } = JSON.parse(
    readFileSync(join(repository, 'package-lock.json'), 'utf8'),
  );
  const required = requiredPackages(lock.packages);
  for (const { manifest } of packages) {
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      expect(required).toContain(`node_modules/${name}`);
    }
  }
  // Of those that we do not name: sharp's own library.
  expect([...required].some((place) => place.includes('node_modules/@img/sharp-'))).toBe(true);
  const withScript = [...required].filter((place) => lock.packages[place]!.hasInstallScript);
  expect(withScript).toEqual([]);
});
