/** Breaks every rule of scripts/check-arrows.js once, in a repository made for it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { repository } from './repository';

const LEAVES = ['checkpoint', 'partial-rope', 'lowrank', 'peft', 'kv-quant'];
const WORKSPACES = [
  ...[...LEAVES, 'mla-runtime', 'vlm-adapters', 'mha2mla'].map((name) => `packages/${name}`),
  'internal/testing',
  'examples/chat',
];
const EMPTY = Object.fromEntries(WORKSPACES.map((path) => [`${path}/package.json`, '{}']));

const leafPairs = LEAVES.flatMap((from) => LEAVES.map((to) => [from, to] as const));
const REFUSED: [law: string, file: string, specifier: string][] = [
  ...leafPairs.map(([from, to]): [string, string, string] => [
    `${from} does not import ${to}`,
    `packages/${from}/src/from-${to}.ts`,
    `@mha2mla/${to}`,
  ]),
  ['the runtime imports no checkpoint', 'packages/mla-runtime/src/a.ts', '@mha2mla/checkpoint'],
  ['the runtime imports nothing above', 'packages/mla-runtime/src/b.ts', '@mha2mla/vlm-adapters'],
  ['an adapter does not import lowrank', 'packages/vlm-adapters/src/a.ts', '@mha2mla/lowrank'],
  ['an adapter does not import kv-quant', 'packages/vlm-adapters/src/b.ts', '@mha2mla/kv-quant'],
  ['an adapter imports no pipeline', 'packages/vlm-adapters/src/c.ts', 'mha2mla'],
  ['a source imports nothing of tests', 'packages/peft/src/e.ts', './testing/golden'],
  ['a test follows the arrows', 'packages/peft/src/a.test.ts', '@mha2mla/mla-runtime'],
  ['a source does not import the matchers', 'packages/peft/src/a.ts', '@mha2mla/testing'],
  ['the matchers import none of ours', 'internal/testing/src/a.ts', '@mha2mla/checkpoint'],
  ['a deep import is refused', 'packages/mha2mla/src/a.ts', '@mha2mla/checkpoint/src/dtype'],
  ['a deep import in an example is refused', 'examples/chat/a.ts', '@mha2mla/peft/dist/index.js'],
  ['a page file imports no /node entry', 'packages/mha2mla/src/b.ts', '@mha2mla/checkpoint/node'],
  ['a page file imports nothing in node/', 'packages/checkpoint/src/a.ts', './node/file-source'],
  ['a page file imports no command line', 'packages/mha2mla/src/convert/a.ts', '../cli'],
  ['a page file imports no image codec', 'packages/mha2mla/src/c.ts', 'sharp'],
  ['a page file imports no argument parser', 'packages/mha2mla/src/d.ts', 'commander'],
  ['no path leaves its package', 'packages/peft/src/b.test.ts', '../../lowrank/src/index'],
];
const OTHER_FORMS: [form: string, file: string, source: string][] = [
  ['a type', 'packages/lowrank/src/type.ts', "import type { X } from '@mha2mla/peft';"],
  ['a re-export', 'packages/lowrank/src/export.ts', "export { x } from '@mha2mla/peft';"],
  ['a dynamic import', 'packages/lowrank/src/lazy.ts', "await import('@mha2mla/peft');"],
  ['an import for its effect', 'packages/lowrank/src/effect.ts', "import '@mha2mla/peft';"],
];
const KINDS = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'];

const imports = (...specifiers: string[]) =>
  specifiers.map((specifier) => `import { x } from '${specifier}';\n`).join('');

let folder: string;
let report: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mha2mla-arrows-'));
  report = arrowsOf('refused', {
    ...Object.fromEntries(REFUSED.map(([, file, specifier]) => [file, imports(specifier)])),
    ...Object.fromEntries(OTHER_FORMS.map(([, file, source]) => [file, `\n${source}`])),
    'packages/other/package.json': '{}',
    'packages/kv-quant/package.json': JSON.stringify(
      Object.fromEntries(KINDS.map((kind) => [kind, { '@mha2mla/mla-runtime': '^0.0.0' }])),
    ),
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the check over a repository of empty packages and these files; returns what it reports. */
function arrowsOf(name: string, files: Record<string, string>): string {
  for (const [path, content] of Object.entries({ ...EMPTY, ...files })) {
    const file = join(folder, name, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  const args = [join(repository, 'scripts/check-arrows.js'), join(folder, name)];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status).toBe(stderr === '' ? 0 : 1);
  return stderr;
}

test.each(REFUSED)('%s', (_law, file, specifier) => {
  expect(report).toContain(`${file}:1 imports ${specifier}: `);
});

test.each(OTHER_FORMS)('%s counts as an import', (_form, file) => {
  expect(report).toContain(
    `${file}:2 imports @mha2mla/peft: packages/lowrank may import none of ours`,
  );
});

test.each(KINDS)('%s follow the arrows, so that no cycle can be declared', (kind) => {
  expect(report).toContain(`packages/kv-quant/package.json: ${kind} names @mha2mla/mla-runtime`);
});

test('a package without arrows is reported', () => {
  expect(report).toContain('packages/other: ARROWS must say');
});

test('what the design allows passes', () => {
  const allowed = arrowsOf('allowed', {
    'packages/mla-runtime/src/a.ts': imports('@mha2mla/kv-quant', '@tensorflow/tfjs-core'),
    'packages/vlm-adapters/src/a.ts': imports('@mha2mla/mla-runtime', '@mha2mla/checkpoint'),
    'packages/vlm-adapters/src/testing/golden.ts': imports('@mha2mla/testing'),
    'packages/vlm-adapters/src/a.test.ts': imports(
      '@mha2mla/testing',
      '@mha2mla/checkpoint/node',
      'vitest',
    ),
    'packages/mha2mla/src/a.ts': imports(...LEAVES.map((name) => `@mha2mla/${name}`)),
    'packages/mha2mla/src/cli/main.ts': imports('commander', '../node/worker'),
    'packages/mha2mla/src/node/worker.ts': imports('@mha2mla/checkpoint/node', '../a'),
    'packages/mha2mla/tsup.config.ts': imports('../../tsup.base'),
    'packages/mha2mla/package.json': JSON.stringify({
      dependencies: { '@mha2mla/lowrank': '^0.0.0' },
      devDependencies: { '@mha2mla/testing': '^0.0.0' },
    }),
    'examples/chat/package.json': JSON.stringify({ dependencies: { mha2mla: '^0.0.0' } }),
    'examples/chat/main.ts': imports('mha2mla/node', 'sharp'),
  });
  expect(allowed).toBe('');
});
