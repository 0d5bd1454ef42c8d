import type { Spending } from '../spend/choose-spending';

const HEAD = ['kv bits', 'rope bits', 'rope dims', 'rank', 'bytes', 'predicted', 'nll'];

/** A table of what a search has found, and the flags that stand for what it chose. */
export function describeSpending(
  { candidates, chosen }: Spending,
  allocation: unknown,
  unchecked?: string,
): string {
  const rows = candidates.map((one) => [
    ...[one.kvBits, one.ropeBits, one.ropeDim, one.rank, one.bytesPerToken].map(String),
    ...[one.predictedError.toPrecision(3), one.nll?.toFixed(4) ?? '-'],
  ]);
  const widths = HEAD.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  const [head, ...lines] = [HEAD, ...rows].map(
    (row, i) =>
      `${i === chosen + 1 ? '>' : ' '} ${row.map((cell, j) => cell.padStart(widths[j]!)).join('  ')}`,
  );
  const { kvBudget, kvBits, ropeBits, ropeDim } = candidates[chosen]!;
  return [
    head,
    ...lines,
    ...(unchecked === undefined ? [] : [`predicted only, no candidate was asked: ${unchecked}`]),
    `chosen: --kv-budget ${kvBudget} --allocation ${allocation} --rope-dim ${ropeDim} --kv-bits ${kvBits} --rope-bits ${ropeBits}`,
  ].join('\n');
}
