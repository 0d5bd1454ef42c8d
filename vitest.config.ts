import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { browserProject } from './internal/testing/src/browser-project';
import { chromiumMissing } from './internal/testing/src/chromium-launch';
import { dailyPageTests } from './internal/testing/src/page-tests';

const root = fileURLToPath(new URL('.', import.meta.url));

/** Tests that start a browser. */
const PAGES = '{packages,internal}/*/src/**/chromium-*.test.ts';

/**
 * Tests that leave nothing behind: files share a process, and so what they import, which would take a
 * file as long as its tests do. Others set a backend's flags, lose a device, or start threads.
 */
const SHARED = [
  'packages/{checkpoint,kv-quant,lowrank,partial-rope,peft,vlm-adapters}/src/**/*.test.ts',
  'packages/mha2mla/src/{convert,data}/*.test.ts',
];

const missing = chromiumMissing();
if (missing) console.log(`tests in a page are left out: ${missing}`);

export default defineConfig({
  resolve: {
    // Tests run on the sources, so that a failure points at the line that was written.
    alias: [
      { find: /^@mha2mla\/testing$/, replacement: `${root}internal/testing/src/index.ts` },
      { find: /^@mha2mla\/([^/]+)\/node$/, replacement: `${root}packages/$1/src/node.ts` },
      { find: /^@mha2mla\/([^/]+)$/, replacement: `${root}packages/$1/src/index.ts` },
      { find: /^mha2mla\/node$/, replacement: `${root}packages/mha2mla/src/node.ts` },
      { find: /^mha2mla$/, replacement: `${root}packages/mha2mla/src/index.ts` },
    ],
  },
  test: {
    // Examples, benchmarks and browsers are processes that take both cores: after the rest, some of which watches the clock.
    projects: [
      project(
        'packages',
        ['{packages,internal}/*/src/**/*.test.ts', `!${PAGES}`, ...SHARED.map((own) => `!${own}`)],
        0,
      ),
      project('shared', [...SHARED, `!${PAGES}`], 0, false),
      project('examples', ['{examples,bench}/*/*.test.ts', PAGES], 1),
      ...(missing ? [] : [browserProject(dailyPageTests(), 1)]),
    ],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The cpu backend recommends tfjs-node once a process; failures should stand out instead.
    onConsoleLog: (log) => !log.includes('speed things up dramatically'),
    reporters: ['default', `${root}internal/testing/src/closing-line-reporter.ts`],
  },
});

function project(name: string, include: string[], groupOrder: number, isolate = true) {
  return { extends: true as const, test: { name, include, isolate, sequence: { groupOrder } } };
}
