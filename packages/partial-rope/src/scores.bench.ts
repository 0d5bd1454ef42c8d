/** One layer of LLaVA-1.5-7B: 32 heads of 128 dims, 64 rows evenly spaced over 600 keys. */
import { bench, describe } from 'vitest';
import { greedyScores } from './greedy-scores';
import { addMklScores } from './mkl-scores';
import { emptyMklSums } from './mkl-sums';
import { addNorm2, emptyNorm2Sums } from './norm2-scores';
import { sampleOf } from './testing/sample';

const once = { iterations: 3, warmupIterations: 1, time: 0, warmupTime: 0 };
const rowColumn = Array.from({ length: 64 }, (_, i) => Math.round(((i + 1) * 600) / 64) - 1);

describe.each([32, 8])('32 heads, %i KV heads, 64 rows, 600 keys', (numKeyValueHeads) => {
  const counts = { numAttentionHeads: 32, numKeyValueHeads, headDim: 128 };
  const angle = (column: number, pair: number) => column * 10000 ** (-pair / 64);
  const sample = sampleOf(counts, { rowColumn, keys: 600, seed: 1, angle });
  for (const split of ['rows', 'keys'] as const) {
    bench(
      `mkl, ${split}`,
      () => addMklScores(emptyMklSums({ ...counts, split }), sample, counts),
      once,
    );
  }
  bench('norm2', () => addNorm2(emptyNorm2Sums(counts), sample), once);
  bench('greedy', () => void greedyScores([sample], counts), once);
});
