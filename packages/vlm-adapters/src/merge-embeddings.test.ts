import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { mergeEmbeddings } from './merge-embeddings';

const D = 3;
const IMAGE = 9;

describeBackends('mergeEmbeddings', () => {
  it('features replace the image tokens in order, over all rows, to the bit', async () => {
    const ids = Int32Array.of(9, 1, 9, 2, 3, 9);
    const embeddings = tf.tensor3d(gaussian(6 * D, 1), [2, 3, D]);
    const features = tf.tensor2d(gaussian(3 * D, 2), [3, D]);
    const merged = mergeEmbeddings(embeddings, features, ids, IMAGE);
    expect(merged.shape).toEqual([2, 3, D]);
    const [text, vision, result] = await Promise.all(
      [embeddings, features, merged].map((tensor) => tensor.data()),
    );
    let next = 0;
    const expected = [...ids].flatMap((id, i) =>
      id === IMAGE
        ? [...vision!.slice(next * D, ++next * D)]
        : [...text!.slice(i * D, (i + 1) * D)],
    );
    expect([...result!]).toEqual(expected);
    tf.dispose([embeddings, features, merged]);
  });

  it('without image tokens the text is left as it is', async () => {
    const embeddings = tf.tensor3d(gaussian(2 * D, 1), [1, 2, D]);
    const features = tf.zeros<tf.Rank.R2>([0, D]);
    const merged = mergeEmbeddings(embeddings, features, Int32Array.of(1, 2), IMAGE);
    expect(await merged.data()).toEqual(await embeddings.data());
    tf.dispose([embeddings, features, merged]);
  });

  it('tokens and features that differ in number are refused', () => {
    const embeddings = tf.zeros<tf.Rank.R3>([1, 2, D]);
    const features = tf.zeros<tf.Rank.R2>([1, D]);
    for (const [ids, tokens] of [
      [[1, 2], 0],
      [[9, 9], 2],
    ] as const) {
      expect(() => mergeEmbeddings(embeddings, features, Int32Array.from(ids), IMAGE)).toThrow(
        `got ${tokens} tokens and 1 features`,
      );
    }
    tf.dispose([embeddings, features]);
  });

  it('leaves nothing behind', () =>
    expectNoLeak(() => {
      const embeddings = tf.ones<tf.Rank.R3>([1, 2, D]);
      const features = tf.ones<tf.Rank.R2>([1, D]);
      mergeEmbeddings(embeddings, features, Int32Array.of(9, 1), IMAGE).dispose();
      tf.dispose([embeddings, features]);
    }));
});
