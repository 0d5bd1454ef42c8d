import { selectPairs } from '@mha2mla/partial-rope';

/** Which pairs keep their rotation. */
export async function use() {
  const head = { headDim: 8, numKeyValueHeads: 1 };
  const pairs = (['high', 'low', 'uniform'] as const).map((strategy) =>
    selectPairs(strategy, { ...head, ropeDim: 4 }),
  );
  return pairs.map(([own]) => [...own!]); // [[0, 1], [2, 3], [0, 2]]
}
