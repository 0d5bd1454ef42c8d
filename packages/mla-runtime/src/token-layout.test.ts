import { expect, test } from 'vitest';
import { PADDING, TEXT, textLayout, tokenLayout, VISION } from './token-layout';

test('padding is told by the mask, vision by the id', () => {
  const layout = tokenLayout([9, 9, 1, 2, 9, 3], [0, 1, 1, 1, 1, 1], [2, 3], (id) => id === 9);
  expect(layout).toEqual({
    batch: 2,
    length: 3,
    kinds: Uint8Array.of(PADDING, VISION, TEXT, TEXT, VISION, TEXT),
  });
  expect([...textLayout(1, 2).kinds]).toEqual([TEXT, TEXT]);
});

test('ids and mask must fill the batch', () => {
  expect(() => tokenLayout([1], [1, 1], [1, 2], () => false)).toThrow(/1 x 2 values, got 1 and 2/);
});
