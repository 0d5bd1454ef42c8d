import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { segmentAttention } from './segment-attention';

const [HEADS, DIM] = [2, 4];

/** Windows of three lengths, those of one length apart from each other. */
const LENGTHS = [4, 2, 4, 4, 1, 2, 4];
const TOTAL = LENGTHS.reduce((sum, length) => sum + length, 0);

function randomParts(total: number) {
  const part = (seed: number) =>
    tf.tensor3d(gaussian(total * HEADS * DIM, seed), [total, HEADS, DIM]);
  return [part(1), part(2), part(3)] as [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D];
}

/** Every token scores every other; those of other segments are masked. */
function masked(
  [query, key, value]: [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D],
  lengths: readonly number[],
): tf.Tensor {
  const segments = lengths.flatMap((length, i) => Array<number>(length).fill(i));
  return tf.tidy(() => {
    const heads = (x: tf.Tensor3D) => tf.transpose(x, [1, 0, 2]);
    const scores = tf.mul(tf.matMul(heads(query), heads(key), false, true), DIM ** -0.5);
    const mask = segments.map((own) => segments.map((other) => (own === other ? 0 : -1e9)));
    const attended = tf.matMul(tf.softmax(tf.add(scores, tf.tensor2d(mask))), heads(value));
    return tf.reshape(tf.transpose(attended, [1, 0, 2]), [segments.length, HEADS * DIM]);
  });
}

describeBackends('attention within segments', () => {
  describe.each([
    ['in one product for each length', 2 ** 24],
    ['some segments at once', 3 * HEADS * 4 * 4],
    ['in blocks of queries', HEADS * 4 * 3],
    ['query by query', 1],
  ])('%s', (_, maxScores) => {
    test('equals masked attention over all tokens', async () => {
      const parts = randomParts(TOTAL);
      const found = segmentAttention(...parts, LENGTHS, { maxScores });
      const expected = masked(parts, LENGTHS);
      expect(found.shape).toEqual(expected.shape);
      expectClose(await found.data(), await expected.data(), { abs: 1e-6 }); // other sums
      tf.dispose([...parts, found, expected]);
    });
  });

  test('another segment, NaN throughout, is never seen', async () => {
    const parts = randomParts(6);
    const poison = tf.fill([3, HEADS, DIM], Number.NaN);
    const mixed = parts.map((x) =>
      tf.concat([tf.slice(x, [0, 0, 0], [3, -1, -1]), poison, tf.slice(x, [3, 0, 0])]),
    ) as [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D];
    const clean = segmentAttention(...parts, [3, 3]);
    const found = segmentAttention(...mixed, [3, 3, 3]);
    const kept = tf.concat([tf.slice(found, [0, 0], [3, -1]), tf.slice(found, [6, 0])]);
    expectClose(await kept.data(), await clean.data(), { abs: 1e-6 });
    tf.dispose([...parts, poison, ...mixed, clean, found, kept]);
  });

  test('nothing larger than the inputs and the scores that are allowed is made', async () => {
    const [total, maxScores] = [256, 4096];
    const parts = randomParts(total);
    const { kernels } = await tf.profile(() =>
      segmentAttention(...parts, [128, 64, 64], { maxScores }),
    );
    const sizes = kernels.flatMap(({ outputShapes }) =>
      outputShapes.map((s) => tf.util.sizeFromShape(s)),
    );
    expect(Math.max(...sizes)).toBe(maxScores);
    expect(maxScores).toBeLessThan(HEADS * 128 * 128);
    tf.dispose(parts);
  });

  test('windows of one length take as many products however many they are', async () => {
    const products = async (windows: number) => {
      const parts = randomParts(windows * 4);
      const { kernels } = await tf.profile(() =>
        segmentAttention(...parts, Array<number>(windows).fill(4)),
      );
      tf.dispose(parts);
      return kernels.filter(({ name }) => name === 'BatchMatMul').length;
    };
    expect([await products(3), await products(300)]).toEqual([2, 2]);
  });

  test('leaves nothing behind', () =>
    expectNoLeak(() => {
      const parts = randomParts(TOTAL);
      segmentAttention(...parts, LENGTHS, { maxScores: 8 }).dispose();
      tf.dispose(parts);
    }));
});
