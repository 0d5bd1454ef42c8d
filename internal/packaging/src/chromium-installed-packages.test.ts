/**
 * Each package alone, from its tarball, does one small thing (src/uses) in Node, and in Chromium from
 * what Vite and webpack make of it; and its types hold for that.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { chromiumMissing, type FileServer, launchChromium, serveFiles } from '@mha2mla/testing';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildByVite, buildByWebpack } from './build-page';
import { installPackages } from './install-packages';
import { publishedPackages } from './published-packages';
import { repository } from './repository';
import { typeErrors } from './type-errors';
import { useProject } from './use-project';

/** What `use` gives. */
const EXPECTED: Record<string, unknown> = {
  checkpoint: [3, 4],
  'partial-rope': [
    [0, 1],
    [2, 3],
    [0, 2],
  ],
  lowrank: [3, 4, 6, 8, 0],
  'kv-quant': [1024, 256, true],
  peft: true,
  'mla-runtime': ['wasm', 20, 24, 24, 24],
  'vlm-adapters': ['length', 2],
  mha2mla: [3072, 576, true],
};

const packages = publishedPackages();
let folder: string;
let server: FileServer;
let browser: Browser | undefined;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mha2mla-used-'));
  installPackages(packages, join(folder, 'installed'));
  server = await serveFiles(find);
  if (chromiumMissing() === undefined) browser = await launchChromium();
}, 300_000);
afterAll(async () => {
  await browser?.close();
  await server.close();
  rmSync(folder, { recursive: true });
});

describe.each(packages)('$manifest.name alone', ({ folder: name }) => {
  const project = () => join(folder, name);
  beforeAll(() => useProject(join(folder, 'installed'), project(), name));

  test('works in a script of Node', async () => {
    const args = ['script.js', `${server.url}models/llava`];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: project() });
    expect(JSON.parse(stdout)).toEqual(EXPECTED[name]);
  });

  test.each(['node16', 'bundler'] as const)('has its types under %s', (moduleResolution) => {
    expect(typeErrors(join(project(), 'use.ts'), moduleResolution)).toEqual([]);
  });

  const missing = chromiumMissing();
  const title =
    missing === undefined ? 'works in a page' : `works in a page [chromium: ${missing}]`;
  test.skipIf(missing !== undefined).each([
    ['vite', buildByVite],
    ['webpack', buildByWebpack],
  ])(`${title}, by %s`, async (bundler, build) => {
    await build(project());
    expect(await usedInPage(`${name}/${bundler}/index.html`)).toEqual(EXPECTED[name]);
  });
});

/** Opens a built page and has it do its thing. */
async function usedInPage(path: string): Promise<unknown> {
  const page = await browser!.newPage();
  const problems: string[] = [];
  page.on('pageerror', ({ message }) => problems.push(message));
  await page.goto(server.url + path);
  const found = await page.evaluate(
    (model) => (globalThis as unknown as Used).use(model),
    `${server.url}models/llava`,
  );
  expect(problems).toEqual([]);
  await page.close();
  return found;
}

interface Used {
  use(model: string): Promise<unknown>;
}

/** Built pages, and the models of the repository. */
function find(path: string) {
  const root = path.startsWith('models/') ? repository : folder;
  const file = join(root, normalize(path));
  if (!file.startsWith(root) || !existsSync(file)) return undefined;
  return { bytes: readFileSync(file), type: TYPES[extname(file)] };
}

const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
};
