import { expect, test } from 'vitest';
import { printedBy, runExample } from '../demo/run-example.js';

const SCRIPT = 'examples/any-attention/convert-attention.js';

test('nothing left out changes nothing; what is left out costs what the header says', async () => {
  const output = await runExample(SCRIPT);
  const errors = [...output.matchAll(/bytes a token, error (\S+)/g)].map(([, error]) =>
    Number(error),
  );
  const [, allPairs, partial, fullRank, narrow, packed] = errors as [number, ...number[]];
  expect(allPairs).toBeLessThan(1e-6); // float32, in another order of sums
  expect(fullRank! / partial!).toBeCloseTo(1, 3);
  expect(partial).toBeLessThan(0.05);
  expect(narrow).toBeLessThan(0.1);
  expect(packed).toBeLessThan(0.15);
  expect(output).toBe(await printedBy(SCRIPT));
});
