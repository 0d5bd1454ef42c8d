import { expect, test } from 'vitest';
import { SlotTable } from '../cache/slot-table';
import { filledSlots, runsWithin, slotRuns } from './slot-runs';

/** Slots of two rows: 0 1 2 _ 3, and 0 _ _ 1 2. */
function table(): SlotTable {
  const slots = new SlotTable(2);
  slots.append([[0, 1, 2], [0]]);
  slots.append([[], [1]]);
  slots.append([[3], [2]]);
  return slots;
}

test('tokens of a row lie side by side, whatever is empty between them', () => {
  const runs = slotRuns(table(), 4);
  expect(runs).toEqual([
    { row: 0, from: 0, count: 3, to: 0 },
    { row: 0, from: 4, count: 1, to: 3 },
    { row: 1, from: 0, count: 1, to: 0 },
    { row: 1, from: 3, count: 1, to: 1 },
    { row: 1, from: 4, count: 1, to: 2 }, // cut at slot 4
  ]);
  expect(filledSlots(table(), 4)).toEqual([3, 2]);
});

test('parts of the slots together hold what all of them hold', () => {
  const runs = slotRuns(table(), 5);
  const tokens = (first: number, count: number) =>
    runsWithin(runs, first, count).flatMap(({ row, from, count: own, to }) =>
      Array.from({ length: own }, (_, i) => `${row} ${first + from + i} ${to + i}`),
    );
  const all = tokens(0, 5).sort();
  expect(all.length).toBe(7);
  for (const cut of [0, 1, 2, 3, 4, 5]) {
    expect([...tokens(0, cut), ...tokens(cut, 5 - cut)].sort()).toEqual(all);
  }
});
