/**
 * Who may import whom, checked in every source file and manifest: `node scripts/check-arrows.js [ROOT]`.
 *
 * Biome sees single files and the nearest package.json; what it cannot see is here: the arrows between
 * packages, paths that leave a package, and the line between what runs in a page and what needs Node.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** A package may import only those named; all of them stand above it, so no cycle can be written down. */
const ARROWS = {
  checkpoint: [],
  'partial-rope': [],
  lowrank: [],
  peft: [],
  'kv-quant': [],
  'mla-runtime': ['partial-rope', 'kv-quant'],
  'vlm-adapters': ['mla-runtime', 'checkpoint', 'partial-rope'],
  mha2mla: [
    'checkpoint',
    'partial-rope',
    'lowrank',
    'peft',
    'kv-quant',
    'mla-runtime',
    'vlm-adapters',
  ],
};

/** What a file that runs in a page may import from outside: no image codec, no command-line library. */
const PAGE_LIBRARIES = JSON.parse(
  readFileSync(new URL('./page-libraries.json', import.meta.url), 'utf8'),
);

const TESTING = 'testing';
const DEPENDENCY_KINDS = [
  'dependencies',
  'devDependencies',
  'optionalDependencies',
  'peerDependencies',
];
const SOURCE = /\.[cm]?[jt]sx?$/;
const GENERATED = new Set(['node_modules', 'dist', 'target', 'fixtures']);

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..'));
const problems = [...checkTable(), ...workspaces().flatMap(checkWorkspace)];
for (const problem of problems) console.error(problem);
if (problems.length > 0) {
  console.error(`check-arrows: ${problems.length} imports or dependencies against the arrows`);
  process.exitCode = 1;
}

function checkTable() {
  const names = Object.keys(ARROWS);
  return names.flatMap((name, index) =>
    ARROWS[name]
      .filter((target) => !names.slice(0, index).includes(target))
      .map((target) => `ARROWS: ${name} must stand below what it imports, got ${target}`),
  );
}

function workspaces() {
  return ['packages', 'internal', 'examples'].flatMap((group) => {
    const folder = join(root, group);
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .filter((name) => existsSync(join(folder, name, 'package.json')))
      .map((name) => ({ group, name, folder: join(folder, name) }));
  });
}

function checkWorkspace(workspace) {
  if (workspace.group === 'packages' && !(workspace.name in ARROWS)) {
    return [`packages/${workspace.name}: ARROWS must say what this package may import`];
  }
  const problems = checkManifest(workspace);
  for (const file of sourceFiles(workspace.folder)) {
    const where = relative(root, file).split(sep).join('/');
    for (const { fileName, pos } of importsOf(file)) {
      const problem = checkImport(workspace, file, fileName);
      if (problem === undefined) continue;
      problems.push(`${where}:${lineOf(file, pos)} imports ${fileName}: ${problem}`);
    }
  }
  return problems;
}

/** Whether a workspace uses the packages as anybody would: an application, or the tests of what npm gets. */
function isUser({ group, name }) {
  return group === 'examples' || (group === 'internal' && name === 'packaging');
}

/** The targets that a workspace may name; `undefined` stands for any. */
function allowedTargets(workspace) {
  const { group, name } = workspace;
  if (isUser(workspace)) return undefined;
  return group === 'packages' ? ARROWS[name] : [];
}

function checkManifest(workspace) {
  const manifest = JSON.parse(readFileSync(join(workspace.folder, 'package.json'), 'utf8'));
  const allowed = allowedTargets(workspace);
  return DEPENDENCY_KINDS.flatMap((kind) =>
    Object.keys(manifest[kind] ?? {}).flatMap((dependency) => {
      const target = ours(dependency)?.target;
      if (target === undefined || allowed === undefined || allowed.includes(target)) return [];
      if (target === TESTING && kind === 'devDependencies') return [];
      return [`${workspace.group}/${workspace.name}/package.json: ${kind} names ${dependency}`];
    }),
  );
}

function checkImport(workspace, file, specifier) {
  const inside = relative(workspace.folder, file).split(sep).join('/');
  // Configuration at the top of a package shares tsup.base.ts and is never published.
  if (!inside.includes('/') && /\.config\.[cm]?[jt]s$/.test(inside)) return undefined;
  if (isUser(workspace)) return checkSubpath(ours(specifier));
  const isTest = isOfTests(inside);
  const inPage = workspace.group === 'packages' && !isTest && !needsNode(inside);
  if (specifier.startsWith('.')) return checkRelative(workspace, file, specifier, inPage, isTest);
  const own = ours(specifier);
  if (own === undefined) return inPage ? checkLibrary(specifier) : undefined;
  if (own.target === TESTING && own.subpath === '' && isTest) return undefined;
  const allowed = allowedTargets(workspace);
  if (!allowed.includes(own.target)) {
    const names = allowed.length > 0 ? allowed.join(', ') : 'none of ours';
    return `${workspace.group}/${workspace.name} may import ${names}`;
  }
  if (own.subpath === 'node' && inPage) return 'this file runs in a page too';
  return checkSubpath(own);
}

function checkSubpath(own) {
  if (own === undefined || own.subpath === '' || own.subpath === 'node') return undefined;
  return 'only the index and /node of a package are public';
}

function checkRelative(workspace, file, specifier, inPage, isTest) {
  const target = relative(workspace.folder, resolve(dirname(file), specifier))
    .split(sep)
    .join('/');
  if (target.startsWith('../')) return 'a relative path must stay inside its package';
  if (inPage && needsNode(target)) return 'this file runs in a page too';
  if (!isTest && isOfTests(target)) return 'only tests import what is of tests';
  return undefined;
}

function checkLibrary(specifier) {
  // Node's own modules are Biome's to report: noNodejsModules.
  if (specifier.startsWith('node:')) return undefined;
  if (PAGE_LIBRARIES.includes(specifier)) return undefined;
  return `this file runs in a page too, and may import ${PAGE_LIBRARIES.join(', ')}`;
}

/** Whether a path inside a package is a test, a benchmark, or what they use. */
function isOfTests(inside) {
  return /\.(test|bench)\.[jt]sx?$|(^|\/)testing\//.test(inside);
}

/** Whether a path inside a package belongs to its /node entry or to its command line. */
function needsNode(inside) {
  return /^(bin\/|src\/(node|cli)([./]|$))/.test(inside);
}

/** Splits `@mha2mla/checkpoint/node` into target and subpath; `undefined` for anyone else's. */
function ours(specifier) {
  const match =
    /^@mha2mla\/([^/]+)(?:\/(.*))?$/.exec(specifier) ?? /^(mha2mla)(?:\/(.*))?$/.exec(specifier);
  return match ? { target: match[1], subpath: match[2] ?? '' } : undefined;
}

function importsOf(file) {
  return ts.preProcessFile(readFileSync(file, 'utf8'), true, true).importedFiles;
}

function lineOf(file, pos) {
  return readFileSync(file, 'utf8').slice(0, pos).split('\n').length;
}

function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return GENERATED.has(entry.name) ? [] : sourceFiles(path);
    return SOURCE.test(entry.name) ? [path] : [];
  });
}
