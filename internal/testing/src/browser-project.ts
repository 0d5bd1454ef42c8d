import { readFileSync } from 'node:fs';
import { playwright } from '@vitest/browser-playwright';
import type { ViteUserConfig } from 'vitest/config';
import { chromiumLaunch } from './chromium-launch';
import { fixture } from './fixture';

const libraries: string[] = JSON.parse(
  readFileSync(fixture('scripts/page-libraries.json'), 'utf8'),
);

/** A project of vitest that runs test files in a headless Chromium, on the sources. */
export function browserProject(include: string[], groupOrder = 0): ViteUserConfig {
  return {
    resolve: {
      alias: [
        { find: /^node:fs$/, replacement: fixture('internal/testing/src/page/fs.ts') },
        {
          find: /^@mha2mla\/testing$/,
          replacement: fixture('internal/testing/src/page/testing.ts'),
        },
        {
          find: /^@mha2mla\/checkpoint\/node$/,
          replacement: fixture('internal/testing/src/page/node-store.ts'),
        },
        { find: /^@mha2mla\/([^/]+)$/, replacement: fixture('packages/$1/src/index.ts') },
      ],
    },
    // Found late, one of them would have the page loaded anew, in the midst of its tests.
    optimizeDeps: {
      include: [...libraries, '@tensorflow/tfjs-core/dist/register_all_gradients', 'fast-check'],
    },
    test: {
      name: 'browser',
      include,
      sequence: { groupOrder },
      testTimeout: 300_000, // a software adapter compiles each program for a tenth of a second
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        provider: playwright({ launchOptions: chromiumLaunch() }),
        instances: [{ browser: 'chromium' }],
      },
    },
  };
}
