import { seededRandom } from '@mha2mla/mla-runtime';

/**
 * Which rows of questions an update sees: epochs of a fresh order each, a function of seed and step alone,
 * so that a run that goes on needs no more than its step.
 */
export function batchOfStep(
  step: number,
  { count, batchSize, seed }: { count: number; batchSize: number; seed: number },
): number[] {
  const first = step * batchSize;
  return Array.from({ length: batchSize }, (_, i) => {
    const place = first + i;
    return orderOfEpoch(Math.floor(place / count), count, seed)[place % count]!;
  });
}

/** The order last asked for: neighbouring steps share it. */
let cached: { key: string; order: Int32Array } | undefined;

/** Fisher-Yates. */
function orderOfEpoch(epoch: number, count: number, seed: number): Int32Array {
  const key = `${epoch}/${count}/${seed}`;
  if (cached?.key === key) return cached.order;
  const random = seededRandom(Math.imul(seed + 1, 0x9e3779b1) + epoch);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  cached = { key, order };
  return order;
}
