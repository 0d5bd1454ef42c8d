import { expect, test } from 'vitest';
import { sequentialPositions } from './sequential-positions';

function positions(...rows: number[][]) {
  const attentionMask = Int32Array.from(rows.flat());
  const inputIds = new Int32Array(attentionMask.length);
  const length = rows[0]?.length ?? 0;
  return sequentialPositions({ batch: rows.length, length, inputIds, attentionMask });
}

test('tokens count from 0, padding on the left has position 1', () => {
  expect(positions([1, 1, 1, 1], [0, 0, 1, 1])).toEqual({
    positionIds: Int32Array.of(0, 1, 2, 3, 1, 1, 0, 1),
    nextPositions: Int32Array.of(4, 2),
  });
});

test('padding within and after a row is left out, too', () => {
  expect(positions([1, 0, 1, 0])).toEqual({
    positionIds: Int32Array.of(0, 1, 1, 1),
    nextPositions: Int32Array.of(2),
  });
});

test('rows of padding and rows of nothing start at 0', () => {
  expect(positions([0, 0], [1, 1])).toEqual({
    positionIds: Int32Array.of(1, 1, 0, 1),
    nextPositions: Int32Array.of(0, 2),
  });
  expect(positions([], [])).toEqual({
    positionIds: new Int32Array(0),
    nextPositions: Int32Array.of(0, 0),
  });
});
