/**
 * Prints what was skipped for a reason, as `12 skipped [tensorflow: not installed]`, and the one line
 * that continuous integration reads: `N passed, N failed[, N skipped]`.
 */
import type { Reporter, TestModule } from 'vitest/node';

/** The reason that a suite's name gives, as `describeBackends` writes it. */
const REASON = /\[\w+: [^\]]+\]/;

export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, errors: ReadonlyArray<unknown>): void {
    const count = { passed: 0, failed: errors.length, skipped: 0 };
    const reasons = new Map<string, number>();
    for (const module of modules) {
      // A file that fails to load, or a hook that fails: the tests are missing or skipped, not failed.
      count.failed += module.errors().length;
      for (const suite of module.children.allSuites()) count.failed += suite.errors().length;
      for (const test of module.children.allTests()) {
        const state = test.result().state;
        if (state === 'passed' || state === 'failed' || state === 'skipped') count[state]++;
        const reason = state === 'skipped' ? REASON.exec(test.fullName)?.[0] : undefined;
        if (reason !== undefined) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
    }
    for (const [reason, tests] of reasons) console.log(`${tests} skipped ${reason}`);
    const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : '';
    console.log(`${count.passed} passed, ${count.failed} failed${skipped}`);
  }
}
