/** Every kernel's own tests, run in a page: Chromium's WebGPU has other limits and features than Dawn. */
import type { Plugin } from 'esbuild';
import { expect, test } from 'vitest';
import { describeChromium } from './chromium';
import { fixture } from './fixture';
import type { TestResult } from './page/vitest';

const FILES = [
  'mla-runtime/src/kernels/append-latent',
  'mla-runtime/src/kernels/attend-latents',
  'mla-runtime/src/kernels/mat-vec',
  'mla-runtime/src/kernels/pick-token',
  'mla-runtime/src/kernels/stacked-mat-mul',
  'mla-runtime/src/kernels/tiled-attention',
  'kv-quant/src/webgpu/webgpu-kernels',
];
/** A software adapter compiles each program for a tenth of a second. */
const TIMEOUT_MS = 300_000;

/** Tests find a page's vitest, and a page's form of this package. */
const plugin: Plugin = {
  name: 'tests-in-a-page',
  setup({ onResolve, onLoad }) {
    const page = fixture('internal/testing/src/page');
    onResolve({ filter: /^vitest$/ }, () => ({ path: `${page}/vitest.ts` }));
    onResolve({ filter: /^@mha2mla\/testing$/ }, () => ({ path: `${page}/testing.ts` }));
    // Of a package that says it has no side effects, an import for these would be left out.
    onResolve({ filter: /\.test\.ts$/ }, ({ path }) => ({ path, sideEffects: true }));
    onResolve({ filter: /^all-tests$/ }, ({ path }) => ({ path, namespace: 'tests' }));
    onLoad({ filter: /.*/, namespace: 'tests' }, () => ({
      resolveDir: page,
      contents: [
        ...FILES.map((file) => `import '${fixture(`packages/${file}.test.ts`)}';`),
        "import { runTests } from './vitest.ts';",
        'globalThis.runTests = runTests;',
      ].join('\n'),
    }));
  },
};

describeChromium(
  'the tests of kernels',
  { scripts: { page: 'all-tests' }, plugins: [plugin] },
  (page) => {
    test(
      'pass in a page',
      async () => {
        const results = await page.call<TestResult[]>('runTests');
        expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
        expect(results.length).toBeGreaterThan(90);
      },
      TIMEOUT_MS,
    );
  },
);
