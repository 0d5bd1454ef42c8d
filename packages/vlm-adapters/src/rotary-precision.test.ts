import { expect, test } from 'vitest';
import { authoredFrequencies } from './rotary-precision';

const frequencies = Float32Array.of(1, 0.1, 0.01);

test('models of the reference are cast with their frequencies, others are not', () => {
  const cast = (mha2mla: object | undefined, dtype: 'bfloat16' | 'float16' | 'float32') =>
    authoredFrequencies(frequencies, { mha2mla: mha2mla as Record<string, unknown>, dtype });
  expect([...cast({ low_rank: 4 }, 'bfloat16')]).toEqual([1, 0.10009765625, 0.010009765625]);
  expect([...cast({ low_rank: 4 }, 'float16')]).toEqual([1, 0.0999755859375, 0.01000213623046875]);
  expect(cast({ low_rank: 4 }, 'float32')).toEqual(frequencies);
  expect(cast({ low_rank: 4, groups: 1 }, 'bfloat16')).toBe(frequencies);
  expect(cast(undefined, 'bfloat16')).toBe(frequencies);
});
