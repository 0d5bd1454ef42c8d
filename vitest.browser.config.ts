/** `npm run test:browser`: all tests of the libraries that run in a page, in a headless Chromium. */
import { defineConfig, mergeConfig } from 'vitest/config';
import { browserProject } from './internal/testing/src/browser-project';
import { fixture } from './internal/testing/src/fixture';
import { pageTests } from './internal/testing/src/page-tests';

export default defineConfig(
  mergeConfig(browserProject(pageTests().inPage), {
    test: { reporters: ['default', fixture('internal/testing/src/closing-line-reporter.ts')] },
  }),
);
