import { openCheckpoint } from '@mha2mla/checkpoint';
import { expect, test } from 'vitest';
import { CheckpointWeights } from './checkpoint-weights';
import { tensorStore } from './testing/tensor-store';

const storedNames = (name: string) => [`old.${name}`, `new.${name}`];

async function weightsOf(values: Record<string, number[]>) {
  const tensors = Object.entries(values).map(
    ([name, data]) => [name, { shape: [data.length], data: Float32Array.from(data) }] as const,
  );
  const checkpoint = await openCheckpoint(await tensorStore({}, new Map(tensors)));
  return new CheckpointWeights(checkpoint, storedNames, 'test');
}

test('a weight is found under any of its names', async () => {
  const weights = await weightsOf({ 'old.a': [1, 2], 'new.b': [3] });
  expect(weights.storedName('a')).toBe('old.a');
  expect(weights.shape('b')).toEqual([1]);
  expect(await weights.read('b', [1])).toEqual(Float32Array.of(3));
  expect(weights.storedName('c')).toBeUndefined();
  expect(weights.shape('c')).toBeUndefined();
});

test('a weight in two layouts is refused', async () => {
  const weights = await weightsOf({ 'old.a': [1], 'new.a': [2] });
  expect(() => weights.shape('a')).toThrow(/must store a once, got "old.a" and "new.a"/);
});

test('a missing weight is named, with tensors that nobody has read', async () => {
  const others = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`z${i}`, [i]]));
  const weights = await weightsOf({ 'old.a': [1], ...others });
  await weights.read('a', [1]);
  await expect(weights.read('b', [1])).rejects.toThrow(
    'the test family expects old.b or new.b, got a checkpoint without it. Not read yet are 9 others, such as "z0", "z1", "z2", "z3", "z4".',
  );
});

test('a weight of another shape is refused before it is read', async () => {
  const weights = await weightsOf({ 'old.a': [1, 2, 3, 4] });
  for (const expected of [[2, 2], [5], []]) {
    await expect(weights.read('a', expected)).rejects.toThrow(/must be \[.*\] by config.json/);
  }
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
  '%f among the weights is refused',
  async (value) => {
    const weights = await weightsOf({ 'old.a': [1, 2, value, 4] });
    await expect(weights.read('a', [4])).rejects.toThrow(
      `must hold finite numbers, got ${value} at element 2`,
    );
  },
);

test('rows are those of the whole weight, and checked like it', async () => {
  const data = Float32Array.of(1, 2, 3, 4, Number.NaN, 6);
  const tensors = new Map([['old.a', { shape: [3, 2], data }]]);
  const checkpoint = await openCheckpoint(await tensorStore({}, tensors));
  const weights = new CheckpointWeights(checkpoint, storedNames, 'test');
  expect(await weights.readRows('a', [3, 2], [1, 2])).toEqual(Float32Array.of(3, 4));
  await expect(weights.readRows('a', [3, 2], [1, 3])).rejects.toThrow(
    'rows 1 to 3 of "old.a" must hold finite numbers, got NaN at element 2',
  );
  await expect(weights.readRows('a', [3, 2], [2, 4])).rejects.toThrow('must lie in 0..3');
  await expect(weights.readRows('a', [2, 3], [0, 1])).rejects.toThrow(/must be .* by config.json/);
});
