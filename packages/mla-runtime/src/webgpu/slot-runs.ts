/**
 * Which slots of a batch hold a token: a recorded step keeps those of a row side by side, where the
 * cache has empty ones in shorter rows.
 */
import type { SlotTable } from '../cache/slot-table';

/** Filled slots of a row, one after another. */
export interface SlotRun {
  row: number;
  /** The first of them. */
  from: number;
  count: number;
  /** Tokens of the row before them. */
  to: number;
}

/** Runs of filled slots, row by row, cut at slot `end` where it lies inside of one. */
export function slotRuns(slots: SlotTable, end: number): SlotRun[] {
  const runs: SlotRun[] = [];
  for (let row = 0; row < slots.batch; row++) {
    let to = 0;
    let open: SlotRun | undefined;
    for (const [slot, position] of slots.positions(row).entries()) {
      if (position < 0 || slot === end) open = undefined;
      if (position < 0) continue;
      if (!open) {
        open = { row, from: slot, count: 0, to };
        runs.push(open);
      }
      open.count++;
      to++;
    }
  }
  return runs;
}

/** Tokens of each row among the first slots. */
export function filledSlots(slots: SlotTable, end: number): number[] {
  return Array.from(
    { length: slots.batch },
    (_, row) => slots.positions(row).filter((position, slot) => slot < end && position >= 0).length,
  );
}

/** What of runs lies in a part of the slots, counted from its first slot. */
export function runsWithin(runs: readonly SlotRun[], first: number, count: number): SlotRun[] {
  return runs.flatMap((run) => {
    const from = Math.max(run.from, first);
    const end = Math.min(run.from + run.count, first + count);
    if (end <= from) return [];
    return [{ row: run.row, from: from - first, count: end - from, to: run.to + from - run.from }];
  });
}
