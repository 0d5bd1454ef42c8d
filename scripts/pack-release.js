/**
 * Packs every package whose version npm does not have yet: `node scripts/pack-release.js FOLDER`.
 * Tarballs are numbered so that a package comes after those that it depends on.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';

const folder = process.argv[2];
if (folder === undefined) throw new TypeError('pack-release: expected a folder, got none.');
mkdirSync(folder, { recursive: true });
for (const [index, { path, name, version }] of inOrder(readPackages()).entries()) {
  if (isPublished(name, version)) continue;
  const pack = ['pack', '--json', '--ignore-scripts', `--pack-destination=${resolve(folder)}`];
  const output = execFileSync('npm', pack, { cwd: path, encoding: 'utf8' });
  const [{ filename }] = Object.values(JSON.parse(output));
  const numbered = `${String(index + 1).padStart(2, '0')}-${filename}`;
  renameSync(join(folder, filename), join(folder, numbered));
  console.log(numbered);
}

function readPackages() {
  return readdirSync('packages')
    .map((name) => join('packages', name))
    .map((path) => ({ path, ...JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) }))
    .filter((manifest) => !manifest.private);
}

/** Dependencies first. */
function inOrder(packages) {
  const ordered = new Set();
  const visit = (manifest) => {
    const names = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
    for (const needed of packages.filter(({ name }) => names.includes(name))) visit(needed);
    ordered.add(manifest);
  };
  packages.forEach(visit);
  return [...ordered];
}

function isPublished(name, version) {
  const args = ['view', `${name}@${version}`, 'version', '--json'];
  const { status, stdout, stderr } = spawnSync('npm', args, { encoding: 'utf8' });
  if (status === 0) return stdout.trim() !== '';
  if (/E404/.test(stdout + stderr)) return false;
  throw new Error(`pack-release: npm view ${name} must answer, got ${stderr}`);
}
