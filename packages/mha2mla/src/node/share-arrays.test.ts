import { expect, test } from 'vitest';
import { shareArrays } from './share-arrays';

test('values stay what they are, and arrays of any depth lie in shared memory', () => {
  const part = Float32Array.of(9, 1, 2).subarray(1);
  const given = { name: 'x', rank: 3, none: undefined, key: { weight: part }, list: [part, null] };
  const copy = shareArrays()(given);
  expect(copy).toEqual(given);
  expect(copy.key.weight).not.toBe(part);
  expect(copy.key.weight.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(copy.key.weight.buffer.byteLength).toBe(8);
});

test('an array that is met again is not copied again', () => {
  const moment = Float64Array.of(1, 2);
  const share = shareArrays();
  const [one, two] = [share({ moment }), share({ moment, other: Float64Array.of(1, 2) })];
  expect(two.moment).toBe(one.moment);
  expect(two.other).not.toBe(one.moment);
});
