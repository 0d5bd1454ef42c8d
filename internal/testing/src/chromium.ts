/**
 * Pages in tests: scripts bundled from the sources, served from this machine and run in a headless
 * Chromium, whose WebGPU is SwiftShader's. Debian's chromium unless CHROMIUM names another; where there
 * is none its tests are skipped, and fail where REQUIRE_CHROMIUM=1 asks for it.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { Plugin } from 'esbuild';
import type { Browser } from 'playwright-core';
import { beforeAll, describe } from 'vitest';
import { chromiumLaunch, chromiumMissing, type LaunchOptions } from './chromium-launch';
import { fixture } from './fixture';
import { serveFiles } from './serve-files';

export interface ChromiumPage {
  /** Call a function that a script has put on `globalThis`; arguments and result are plain values. */
  call<T>(name: string, ...args: readonly unknown[]): Promise<T>;
  /** Storage stays. */
  reload(): Promise<void>;
}

export interface PageScripts {
  /** Paths by name; `page` is what the page starts. All are served, as `/NAME.js`. */
  scripts: Readonly<Record<string, string>>;
  /** Further plugins of the bundler, before those that find our sources. */
  plugins?: readonly Plugin[];
  /** Files beside those of the repository that the page may fetch. */
  find?: (path: string) => Uint8Array | undefined;
}

/** Starts the browser, for tests of pages that somebody else has built. */
export async function launchChromium(options?: LaunchOptions): Promise<Browser> {
  // Only where it is used: all tests import this package.
  const { chromium } = await import('playwright-core');
  return chromium.launch(chromiumLaunch(options));
}

/** Run `body` with a page that is open while its tests run. */
export function describeChromium(
  name: string,
  options: PageScripts,
  body: (page: ChromiumPage) => void,
): void {
  const missing = chromiumMissing();
  if (missing !== undefined) {
    describe.skip(`${name} [chromium: ${missing}]`, () => body(notOpen));
    return;
  }
  describe(`${name} [chromium]`, () => {
    let opened = notOpen;
    beforeAll(async () => {
      const { page, close } = await openPage(options);
      opened = page;
      return close;
    });
    body({ call: (...given) => opened.call(...given), reload: () => opened.reload() });
  });
}

const notOpen: ChromiumPage = {
  call: () => Promise.reject(new Error('describeChromium: call must come from a test.')),
  reload: () => Promise.reject(new Error('describeChromium: reload must come from a test.')),
};

async function openPage({ scripts, plugins = [], find }: PageScripts) {
  const bundle = await bundlePage(scripts, plugins);
  const server = await serveFiles((path) => {
    if (path === '') return { bytes: HTML, type: 'text/html' };
    const script = bundle.get(path);
    if (script) return { bytes: script, type: 'text/javascript' };
    const bytes = find?.(path) ?? ownFile(path);
    return bytes && { bytes, type: path.endsWith('.wasm') ? 'application/wasm' : undefined };
  });
  const browser = await launchChromium().catch(async (error) => {
    await server.close();
    throw error;
  });
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on('pageerror', ({ message }) => errors.push(message));
  await page.goto(server.url);
  const call: ChromiumPage['call'] = async (name, ...args) => {
    const value = await page.evaluate(
      ([key, given]) => (globalThis as unknown as Functions)[key]!(...given),
      [name, args] as const,
    );
    if (errors.length > 0) throw new Error(`The page must run without errors, got ${errors[0]}`);
    return value as never;
  };
  const close = async () => {
    await browser.close();
    await server.close();
  };
  const reload = async () => void (await page.reload());
  return { page: { call, reload }, close };
}

type Functions = Record<string, (...args: readonly unknown[]) => unknown>;

const HTML = new TextEncoder().encode(
  '<!doctype html><script type="module" src="/page.js"></script>',
);

function ownFile(path: string): Uint8Array | undefined {
  const [root, ...rest] = path.split('/');
  if (rest.includes('..')) return undefined;
  const file =
    root === 'wasm'
      ? fixture(`node_modules/@tensorflow/tfjs-backend-wasm/wasm-out/${rest.join('/')}`)
      : fixture(path);
  return existsSync(file) ? readFileSync(file) : undefined;
}

async function bundlePage(
  scripts: PageScripts['scripts'],
  plugins: readonly Plugin[],
): Promise<Map<string, Uint8Array>> {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: { ...scripts },
    outdir: '/',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
    plugins: [...plugins, sources, withoutNode],
  });
  return new Map(outputFiles.map(({ path, contents }) => [path.slice(1), contents]));
}

const sources: Plugin = {
  name: 'sources',
  setup({ onResolve }) {
    onResolve({ filter: /^@mha2mla\/[^/]+$/ }, ({ path }) => ({
      path: fixture(`packages/${path.split('/')[1]}/src/index.ts`),
    }));
  },
};

/** tfjs's wasm asks for modules of Node where it is in Node. */
const withoutNode: Plugin = {
  name: 'without-node',
  setup({ onResolve, onLoad }) {
    const filter = /^(fs|path|perf_hooks|os|worker_threads|util|crypto|vm)$/;
    onResolve({ filter }, ({ path }) => ({ path, namespace: 'node' }));
    onLoad({ filter: /.*/, namespace: 'node' }, () => ({ contents: 'module.exports = {};' }));
  },
};
