import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { TokenBlocks } from './token-blocks';

const [B, HEADS, WIDTH] = [2, 3, 10];

function tokens(count: number, seed = 1): tf.Tensor4D {
  return tf.tensor4d(gaussian(B * HEADS * count * WIDTH, seed), [B, HEADS, count, WIDTH]);
}

/** All that is stored, [B, heads, T, width], and the lengths of the blocks. */
async function stored(blocks: TokenBlocks) {
  const parts = blocks.read();
  const joined = parts.length > 0 ? tf.concat(parts, 2) : tf.zeros([B, HEADS, 0, WIDTH]);
  const values = [...(await joined.data())];
  const lengths = parts.map((part) => part.shape[2]);
  tf.dispose([parts, joined]);
  return { values, lengths };
}

describeBackends('TokenBlocks', { webgpu: true }, () => {
  test.each([undefined, 16, 8, 4] as const)(
    '%s bits: appending in pieces equals appending at once, to the bit',
    async (bits) => {
      const storage = { bits, groupSize: 4, blockLength: 3 };
      const x = tokens(8);
      const whole = new TokenBlocks(storage);
      whole.append(x);
      const expected = await stored(whole);
      expect(expected.lengths).toEqual([3, 3, 2]);
      for (const pieces of [new Array<number>(8).fill(1), [3, 3, 2], [2, 5, 1], [7, 1]]) {
        const blocks = new TokenBlocks(storage);
        for (const piece of tf.split(x, pieces, 2)) blocks.append(piece as tf.Tensor4D);
        expect(await stored(blocks)).toEqual(expected);
        expect(blocks.allocatedBytes).toBe(whole.allocatedBytes);
        blocks.dispose();
      }
      if (bits === undefined) expect(expected.values).toEqual([...(await x.data())]);
      whole.dispose();
    },
  );

  test.each([
    [1, 0, []],
    [1, 1, [1]],
    [1, 3, [1, 1, 1]],
    [3, 3, [3]],
    [3, 4, [3, 1]],
    [256, 255, [255]],
    [256, 256, [256]],
    [256, 257, [256, 1]],
  ])('blocks of %d hold %d tokens', async (blockLength, count, lengths) => {
    const blocks = new TokenBlocks({ groupSize: 32, blockLength });
    const x = tokens(count);
    blocks.append(x);
    expect(await stored(blocks)).toEqual({ values: [...(await x.data())], lengths });
    blocks.dispose();
    expect((await stored(blocks)).lengths).toEqual([]);
  });

  test.each([undefined, 8] as const)(
    '%s bits: forks go on alone, and what the parent holds stays',
    async (bits) => {
      const storage = { bits, groupSize: 4, blockLength: 3 };
      const parent = new TokenBlocks(storage);
      parent.append(tokens(4));
      const before = await stored(parent);
      const [a, b] = [parent.fork(), parent.fork()];
      a.append(tokens(3, 2));
      b.append(tokens(1, 3));
      expect(await stored(parent)).toEqual(before);
      const alone = new TokenBlocks(storage);
      alone.append(tokens(4));
      parent.dispose();
      alone.append(tokens(3, 2));
      expect(await stored(a)).toEqual(await stored(alone));
      expect((await stored(b)).lengths).toEqual([3, 2]);
      for (const blocks of [a, b, alone]) blocks.dispose();
    },
  );

  test.each([undefined, 16, 8, 4] as const)(
    '%s bits: allocatedBytes is what tensors hold',
    (bits) => {
      const x = tokens(7);
      const before = tf.memory().numBytes;
      const blocks = new TokenBlocks({ bits, groupSize: 4, blockLength: 3 });
      blocks.append(x);
      expect(blocks.allocatedBytes).toBe(tf.memory().numBytes - before);
      blocks.dispose();
      expect(tf.memory().numBytes).toBe(before);
    },
  );

  test('leaves nothing behind, nor in a tidy of the caller', () =>
    expectNoLeak(async () => {
      const blocks = new TokenBlocks({ bits: 4, groupSize: 4, blockLength: 2 });
      tf.tidy(() => blocks.append(tokens(3)));
      tf.tidy(() => blocks.append(tokens(2)));
      await stored(blocks);
      blocks.fork().dispose();
      blocks.dispose();
    }));
});
