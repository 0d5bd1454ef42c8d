/**
 * What test files use of vitest, for a page: suites and tests are collected as the files are
 * imported, and run by `runTests`. Matchers are vitest's own.
 */
import {
  ASYMMETRIC_MATCHERS_OBJECT,
  chai,
  GLOBAL_EXPECT,
  JestAsymmetricMatchers,
  JestChaiExpect,
  JestExtend,
} from '@vitest/expect';
import type { ExpectStatic } from 'vitest';

type Body = () => unknown;
type CaseBody = (...values: never[]) => unknown;

interface Suite {
  name: string;
  tests: { name: string; body: Body }[];
  suites: Suite[];
  hooks: Record<'beforeAll' | 'afterEach' | 'afterAll', Body[]>;
}

export interface TestResult {
  name: string;
  /** Absent of a test that passed. */
  error?: string;
}

for (const plugin of [JestExtend, JestChaiExpect, JestAsymmetricMatchers]) chai.use(plugin);

const known = globalThis as unknown as Record<symbol, object>;
export const expect = Object.assign(
  (value: unknown, message?: string) => chai.expect(value, message),
  chai.expect,
  known[ASYMMETRIC_MATCHERS_OBJECT],
) as unknown as ExpectStatic;
Object.defineProperty(known, GLOBAL_EXPECT, { value: expect });

const newSuite = (name: string): Suite => ({
  ...{ name, tests: [], suites: [] },
  hooks: { beforeAll: [], afterEach: [], afterAll: [] },
});
const root = newSuite('');
let current = root;

export const describe = Object.assign(collectSuite, {
  each: eachOf(collectSuite),
  skip: () => {},
});
export const test = Object.assign(collectTest, { each: eachOf(collectTest) });
export const it = test;
export const beforeAll = (body: Body) => current.hooks.beforeAll.push(body);
export const afterEach = (body: Body) => current.hooks.afterEach.push(body);
export const afterAll = (body: Body) => current.hooks.afterAll.push(body);

/** Run all that was collected, in its order. */
export async function runTests(): Promise<TestResult[]> {
  return runSuite(root, '');
}

function collectSuite(name: string, body: Body): void {
  const outer = current;
  current = newSuite(name);
  outer.suites.push(current);
  body();
  current = outer;
}

function collectTest(name: string, body: Body): void {
  current.tests.push({ name, body });
}

function eachOf(collect: (name: string, body: Body) => void) {
  return (cases: readonly unknown[]) => (name: string, body: CaseBody) => {
    for (const [i, given] of cases.entries()) {
      const values = (Array.isArray(given) ? given : [given]) as never[];
      collect(`${name} (${i})`, () => body(...values));
    }
  };
}

async function runSuite(suite: Suite, outer: string): Promise<TestResult[]> {
  const name = `${outer} ${suite.name}`.trim();
  const { beforeAll: before, afterEach: each, afterAll: after } = suite.hooks;
  const results: TestResult[] = [];
  for (const hook of before) await hook();
  for (const { name: own, body } of suite.tests) {
    const error = await failureOf(async () => {
      await body();
      for (const hook of each) await hook();
    });
    results.push({ name: `${name}: ${own}`, ...(error && { error }) });
  }
  for (const inner of suite.suites) results.push(...(await runSuite(inner, name)));
  for (const hook of after) await hook();
  return results;
}

async function failureOf(run: () => Promise<void>): Promise<string | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}
