/** Which tests run in a page, too: all of packages that do, but for those that need what only Node has. */
import { readdirSync, readFileSync } from 'node:fs';
import { fixture } from './fixture';

const PACKAGES = [
  ...['checkpoint', 'kv-quant', 'lowrank', 'mla-runtime', 'partial-rope', 'peft', 'vlm-adapters'],
];

/**
 * Modules of Node but `node:fs`, which a page has as far as it reads fixtures, as `nodeStore`; what
 * decodes, bundles and serves by Node; and what Node alone has of globals.
 */
const NEEDS_NODE =
  /from '(node:(?!fs')[^']+|\.\/node|sharp|esbuild|\.\/decode-image-file)'|\b(serveFiles|describeChromium|Buffer\.alloc|process\.\w|spyOn\(process)/;

/** Paths from the root of the repository. */
export function pageTests(): { inPage: string[]; inNodeAlone: string[] } {
  const files = PACKAGES.flatMap((name) => {
    const folder = `packages/${name}/src`;
    return readdirSync(fixture(folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.test.ts'))
      .map((path) => `${folder}/${path.replaceAll('\\', '/')}`);
  }).sort();
  const needsNode = (path: string) =>
    path.includes('/src/node/') || NEEDS_NODE.test(readFileSync(fixture(path), 'utf8'));
  return {
    inPage: files.filter((path) => !needsNode(path)),
    inNodeAlone: files.filter(needsNode),
  };
}

/** Those of them that `npm test` runs: kernels, and packages whose tests take little time. */
export function dailyPageTests(): string[] {
  return pageTests().inPage.filter((path) => DAILY.test(path));
}

const DAILY =
  /^packages\/(checkpoint|lowrank|partial-rope)\/|^packages\/mla-runtime\/src\/kernels\/|\/webgpu-kernels\.test/;
