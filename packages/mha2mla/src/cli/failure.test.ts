import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { failureLine } from './failure';

test('a failure is one line that cannot drive a terminal', () => {
  expect(failureLine(new Error('must be 1,\n  got 2\u001b[2J.\n'))).toBe(
    'mha2mla: must be 1, got 2\\u{1b}[2J.',
  );
  expect(failureLine('thrown')).toBe('mha2mla: thrown');
});

test("an error of the system's own says what was expected", async () => {
  const error = await readFile('/none/such').catch((cause) => cause);
  expect(failureLine(error)).toBe(
    'mha2mla: expected /none/such to be there and usable, got ENOENT. Check the path and its permissions.',
  );
});
