import type { DecoderConfig } from '@mha2mla/mla-runtime';
import { PADDING, TEXT } from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import { describeBackends, expectNoLeak } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { attentionSink, massiveTokens, tokenNorms } from './sink-tokens';

const config = { numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 2 } as DecoderConfig;
const KEYS = 8;

/** Queries along the first dim; keys the same, `strength` at one column. Nothing is turned. */
function sampleOf(column: number, strength: number, padded = 0): AttentionSample {
  const ones = (count: number) => new Array<number>(count).fill(1);
  return {
    query: Array.from({ length: 2 * KEYS * 2 }, (_, i) => (i % 2 === 0 ? 1 : 0)),
    key: Array.from({ length: KEYS * 2 }, (_, i) => (i === 2 * column ? strength : 0)),
    queryCos: ones(KEYS),
    querySin: new Array(KEYS).fill(0),
    keyCos: ones(KEYS),
    keySin: new Array(KEYS).fill(0),
    rowColumn: Int32Array.from({ length: KEYS }, (_, i) => i),
    rowIsVision: new Uint8Array(KEYS),
    keyMask: Uint8Array.from({ length: KEYS }, (_, i) => (i < padded ? 0 : 1)),
  };
}

describeBackends('sink tokens', () => {
  test('a key that all queries look at takes the attention, where it stands', async () => {
    const found = (await attentionSink(config, [sampleOf(1, 20), sampleOf(1, 20)]))!;
    expect(found.position).toBe(1);
    expect(found.attentionShare).toBeGreaterThan(0.99);
  });

  test('equal keys share the attention of the rows that see them', async () => {
    const { attentionShare } = (await attentionSink(config, [sampleOf(0, 0)]))!;
    // Rows 4 to 7 see 5 to 8 keys.
    const mean = (1 / 5 + 1 / 6 + 1 / 7 + 1 / 8) / 4;
    expect(attentionShare).toBeCloseTo(mean, 6);
  });

  test('positions are counted from the first token that is not padding', async () => {
    expect((await attentionSink(config, [sampleOf(3, 20, 3)]))!.position).toBe(0);
  });

  test('norms are those of tokens, padding left out', async () => {
    const hidden = tf.tensor3d([3, 4, 0, 0, 6, 8], [1, 3, 2]);
    const norms = await tokenNorms(hidden, Uint8Array.of(TEXT, PADDING, TEXT));
    expect(norms.map((norm) => Math.round(norm * 1e4) / 1e4)).toEqual([5, 10]);
    hidden.dispose();
  });

  test('leaves no tensors behind', async () => {
    await expectNoLeak(async () => {
      await attentionSink(config, [sampleOf(1, 2)]);
      const hidden = tf.ones([1, 2, 3]) as tf.Tensor3D;
      await tokenNorms(hidden, Uint8Array.of(TEXT, TEXT));
      hidden.dispose();
    });
  });
});

test('norms many times the median are massive', () => {
  const { largestNorm, massiveShare } = massiveTokens([1, 1, 1, 1, 30]);
  expect([largestNorm, massiveShare]).toEqual([30, 0.2]);
  expect(massiveTokens([1, 2, 3])).toMatchObject({ massiveShare: 0 });
  expect(massiveTokens([])).toEqual({ largestNorm: 0, massiveShare: 0 });
});

test('without samples there is no sink', async () => {
  expect(await attentionSink(config, [])).toBeUndefined();
});
