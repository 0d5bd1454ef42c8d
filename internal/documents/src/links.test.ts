/** Relative links of all documents, and their anchors, lead somewhere. */
import { existsSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';
import { type Document, parseDocument } from './document';
import { readRepositoryFile, repository, repositoryFiles } from './repository';

const HOME = 'https://github.com/mha2mla/mha2mla/';
const documents = new Map(
  repositoryFiles('.md').map((path) => [path, parseDocument(readRepositoryFile(path))]),
);

/** What is wrong with a link in a document; `undefined` for one that leads somewhere, or outside. */
function problemOf(link: string, from: string): string | undefined {
  // Readers on npm need whole addresses of what lies in the repository.
  const own = link.startsWith(HOME)
    ? link.slice(HOME.length).match(/^(?:blob|tree)\/main\/(.*)$/)?.[1]
    : undefined;
  if (own === undefined && /^[a-z][a-z+.-]*:|^\/\//i.test(link)) return undefined;
  const [path = '', anchor = ''] = (own ?? link).split('#').map(decodeURIComponent);
  const target =
    own !== undefined ? normalize(path) : path === '' ? from : join(dirname(from), path);
  if (target.startsWith('..')) return `${link} leaves the repository`;
  if (!existsSync(join(repository, target))) return `${link} leads to nothing`;
  if (anchor === '') return undefined;
  const document = documents.get(readmeOf(target));
  if (document?.anchors.has(anchor)) return undefined;
  return `${link} leads to no heading${nearest(document)}`;
}

/** GitHub shows a folder's README. */
function readmeOf(target: string): string {
  return statSync(join(repository, target)).isDirectory() ? join(target, 'README.md') : target;
}

const nearest = (document?: Document) =>
  document ? ` of ${[...document.anchors].join(', ')}` : ', as it is no document';

test('relative links and anchors lead somewhere, in all documents', () => {
  expect(documents.size).toBeGreaterThan(40);
  const problems = [...documents].flatMap(([path, { links }]) =>
    links.flatMap((link) => {
      const problem = problemOf(link, path);
      return problem === undefined ? [] : [`${path}: ${problem}`];
    }),
  );
  expect(problems).toEqual([]);
});

test('a link to nothing, to no heading, and out of the repository is found', () => {
  expect(problemOf('no-such.md', 'docs/cache.md')).toContain('leads to nothing');
  expect(problemOf('healing.md#no-such', 'docs/cache.md')).toContain('leads to no heading');
  expect(problemOf('../../x.md', 'docs/cache.md')).toContain('leaves the repository');
  expect(problemOf(`${HOME}blob/main/docs/no-such.md`, 'README.md')).toContain('leads to nothing');
  expect(problemOf('healing.md#recipes', 'docs/cache.md')).toBeUndefined();
  expect(problemOf('../packages/lowrank#numerics-and-limits', 'docs/cache.md')).toBeUndefined();
});

test('every document of docs/ stands in its index', () => {
  const linked = documents.get('docs/README.md')!.links.map((link) => join('docs', link));
  const missing = [...documents.keys()].filter(
    (path) => path.startsWith('docs/') && path !== 'docs/README.md' && !linked.includes(path),
  );
  expect(missing).toEqual([]);
});
