import { describeBackends } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { lookupEmbeddings } from './lookup-embeddings';

describeBackends('lookupEmbeddings', { webgpu: true }, () => {
  it('takes a row of the table for each id', async () => {
    const table = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]);
    const rows = lookupEmbeddings(table, Int32Array.of(2, 0, 2, 1), [2, 2]);
    expect(rows.shape).toEqual([2, 2, 2]);
    expect([...(await rows.data())]).toEqual([5, 6, 1, 2, 5, 6, 3, 4]);
  });

  it.each([-1, 3])('refuses the id %d', (id) => {
    const table = tf.zeros<tf.Rank.R2>([3, 2]);
    expect(() => lookupEmbeddings(table, Int32Array.of(0, id), [1, 2])).toThrow(
      `ids must lie in [0, 3), got ${id}`,
    );
  });
});
