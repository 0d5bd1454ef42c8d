/** Installs all tarballs into an empty folder, as a user's project, and uses what arrived. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installPackages } from './install-packages';
import { publishedPackages } from './published-packages';
import { repository } from './repository';

const packages = publishedPackages();
const entries = packages.flatMap((published) => published.entries);
const pageEntries = entries.filter((entry) => !entry.endsWith('/node'));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mha2mla-installed-'));
  installPackages(packages, folder);
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true }));

test('every package of ours is there once, so that tarballs resolve one another', () => {
  for (const { manifest } of packages) {
    const nested = packages.filter((other) =>
      existsSync(join(folder, 'node_modules', other.manifest.name, 'node_modules', manifest.name)),
    );
    expect(nested).toEqual([]);
    expect(existsSync(join(folder, 'node_modules', manifest.name, 'package.json'))).toBe(true);
  }
});

test.each(entries)('%s imports, exports something and does nothing else', (entry) => {
  const script = `console.log(JSON.stringify(Object.keys(await import('${entry}'))))`;
  const args = ['--input-type=module', '--eval', script];
  const run = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  expect(run.stderr).toBe('');
  expect(run.status).toBe(0);
  expect(JSON.parse(run.stdout).length).toBeGreaterThan(0);
});

test.each(pageEntries)('%s bundles for a browser: no node:*, no codec', async (entry) => {
  const bundled = await bundleForBrowser(`export * from '${entry}';`);
  expect(bundled.text.length).toBeGreaterThan(0);
  const libraries = bundled.inputs.filter((path) =>
    /node_modules\/(sharp|commander|cli-|echarts)/.test(path),
  );
  expect(libraries).toEqual([]);
});

test.each(pageEntries)('%s leaves nothing in a bundle that uses nothing of it', async (entry) => {
  expect((await bundleForBrowser(`import '${entry}';`)).text).toBe('');
});

describe.each(['nodenext', 'bundler'])('under moduleResolution %s', (moduleResolution) => {
  test('the types of page entries need no Node', () => {
    expect(typeErrors(pageEntries, moduleResolution, [])).toEqual([]);
  });
  test('the types of all entries are whole', () => {
    expect(typeErrors(entries, moduleResolution, ['node'])).toEqual([]);
  });
});

test.each([
  ["useBackend('webgpu')", 'npm install webgpu @tensorflow/tfjs-backend-webgpu'],
  ["useBackend('tensorflow')", 'npm install @tensorflow/tfjs-node'],
  ["openStore({ place: 's3://bucket' })", 'npm install @aws-sdk/client-s3 @aws-sdk/lib-storage'],
])('without its optional peer, %s says to run %s', (call, hint) => {
  const script = `const { openStore, useBackend } = await import('mha2mla/node'); await ${call};`;
  const args = ['--input-type=module', '--eval', script];
  const run = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  expect(run.status).toBe(1);
  expect(run.stderr).toContain(hint);
});

for (const { manifest } of packages) {
  for (const [bin, path] of Object.entries(manifest.bin ?? {})) {
    test(`${bin} --help runs from the installed ${path}`, () => {
      const command = join(folder, 'node_modules/.bin', bin);
      const run = spawnSync(command, ['--help'], { cwd: folder, encoding: 'utf8' });
      expect(run.error).toBeUndefined();
      expect(run.stderr).toBe('');
      expect(run.status).toBe(0);
      expect(run.stdout).toContain(`Usage: ${bin}`);
    });
  }
}

async function bundleForBrowser(contents: string): Promise<{ text: string; inputs: string[] }> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: folder },
    absWorkingDir: folder,
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'browser',
    logLevel: 'silent',
  });
  return { text: outputFiles[0]!.text, inputs: Object.keys(metafile.inputs) };
}

/** Compiles a program that imports the entries; errors inside other people's types are not ours. */
function typeErrors(imported: string[], moduleResolution: string, types: string[]): string[] {
  const program = imported.map((entry, index) => `export * as e${index} from '${entry}';\n`);
  writeFileSync(join(folder, 'program.ts'), program.join(''));
  const compilerOptions = {
    noEmit: true,
    strict: true,
    target: 'es2022',
    lib: ['es2022', 'esnext.disposable', 'dom', 'dom.iterable'],
    module: moduleResolution === 'bundler' ? 'esnext' : moduleResolution,
    moduleResolution,
    types,
    typeRoots: [join(repository, 'node_modules/@types')],
  };
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['program.ts'] }),
  );
  const tsc = join(repository, 'node_modules/typescript/bin/tsc');
  const args = [tsc, '--project', folder, '--pretty', 'false'];
  const { stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  return stdout
    .split('\n')
    .filter((line) => line.includes('error TS'))
    .filter((line) => !/^node_modules\/(?!@?mha2mla\/)/.test(line));
}
