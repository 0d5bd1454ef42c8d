/** What documents tell people to type is there: scripts of npm, files, and the README's own example. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { parseDocument } from './document';
import { readRepositoryFile, repository, repositoryFiles } from './repository';

/** Code of a document, by its path; what was true of an earlier version is left out. */
const codes = repositoryFiles('.md')
  .filter((path) => !/^\.changeset|CHANGELOG\.md$/.test(path))
  .flatMap((path) => {
    const { blocks, codes } = parseDocument(readRepositoryFile(path));
    const shell = blocks.filter(({ lang }) => lang === 'sh').map(({ text }) => text);
    return [...shell, ...codes].map((code) => ({ path, code }));
  });

/** Folders that a command of a document may be run in. */
function placesOf(path: string, code: string): string[] {
  const entered = [...code.matchAll(/\bcd ([\w./-]+)/g)].map(([, folder]) => folder!);
  return ['', dirname(path), ...entered];
}

test('every `npm run` names a script', () => {
  const found = codes.flatMap(({ path, code }) =>
    [...code.matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name]) => ({ path, code, name: name! })),
  );
  expect(found.length).toBeGreaterThan(10);
  const missing = found.filter(
    ({ path, code, name }) => !placesOf(path, code).some((place) => has(place, name)),
  );
  expect(missing).toEqual([]);
});

function has(folder: string, script: string): boolean {
  const manifest = join(folder, 'package.json');
  if (!existsSync(join(repository, manifest))) return false;
  return script in (JSON.parse(readRepositoryFile(manifest)).scripts ?? {});
}

test('every script that node, bash or python shall run is there', () => {
  const found = codes.flatMap(({ path, code }) =>
    [
      ...code.matchAll(
        /(?:\bnode|\bbash|\bpython|^) ?((?:bench|scripts|examples)\/[\w./-]+\.(?:js|sh|py))\b/gm,
      ),
    ].map(([, file]) => ({ path, code, file: file! })),
  );
  expect(found.length).toBeGreaterThan(20);
  const missing = found.filter(
    ({ path, code, file }) =>
      !placesOf(path, code).some((place) => existsSync(join(repository, place, file))),
  );
  expect(missing).toEqual([]);
});

test('the example of README.md prints what it says, on the built packages', () => {
  const { blocks } = parseDocument(readRepositoryFile('README.md'));
  const example = blocks.find(({ lang }) => lang === 'js')!.text;
  const expected = /\n\/\/ (.*)$/.exec(example)![1]!;
  const args = ['--input-type=module', '--eval', example];
  const printed = execFileSync(process.execPath, args, { cwd: repository, encoding: 'utf8' });
  expect(printed.trim()).toBe(expected);
});
