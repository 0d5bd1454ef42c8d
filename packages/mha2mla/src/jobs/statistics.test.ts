import { SecondMoment } from '@mha2mla/lowrank';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import { fuzzJson, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { AttentionMoments } from '../convert/attention-moments';
import type { LayerCalibration } from '../convert/calibrate-layer';
import { restoreStatistics, type StoredStatistics, storeStatistics } from './statistics';

const [N, K, H, D, L, T] = [4, 2, 6, 8, 3, 5];
const config = {
  ...{ numAttentionHeads: N, numKeyValueHeads: K, headDim: H, hiddenSize: D },
} as DecoderConfig;

beforeAll(async () => {
  await tf.setBackend('cpu');
});

function sample(): AttentionSample {
  return {
    query: gaussian(N * L * H, 1),
    key: gaussian(K * T * H, 2),
    queryCos: gaussian((L * H) / 2, 3),
    querySin: gaussian((L * H) / 2, 4),
    keyCos: gaussian((T * H) / 2, 5),
    keySin: gaussian((T * H) / 2, 6),
    rowColumn: Int32Array.of(0, 2, 4),
    rowIsVision: Uint8Array.of(1, 0, 0),
    keyMask: Uint8Array.of(0, 1, 1, 1, 1),
    keyIsVision: Uint8Array.of(1, 1, 0, 0, 0),
  };
}

async function moment(dim: number, seed: number): Promise<SecondMoment> {
  const rows = tf.tensor2d(gaussian(7 * dim, seed), [7, dim]);
  try {
    return await new SecondMoment(dim).add(rows);
  } finally {
    rows.dispose();
  }
}

/** What one batch showed, whatever was asked for. */
async function calibration(): Promise<LayerCalibration> {
  const attention = new AttentionMoments(config);
  for (const [head, own] of attention.queries.entries()) own.merge(await moment(H, 10 + head));
  const [effect, mass] = [20, 21].map((seed) => Float64Array.from(gaussian(N, seed), Math.abs));
  attention.addEffects({ effect: effect!, mass: mass! });
  const moments = { vision: await moment(D, 7), text: await moment(D, 8) };
  return { samples: [sample(), sample()], inputs: [], moments, attention };
}

const RESIDUAL = { sum: 2.5, count: 7 };

test('what one batch showed comes back to the bit', async () => {
  const seen = await calibration();
  expect(restoreStatistics(config, storeStatistics(seen, RESIDUAL))).toStrictEqual(seen);
});

test('so does what was not asked for, and what no token showed', async () => {
  const { vision } = (await calibration()).moments;
  const moments = { vision, text: new SecondMoment(D) };
  const seen = { samples: [], inputs: [], moments, attention: undefined };
  const stored = storeStatistics(seen);
  expect(Object.keys(stored)).not.toContain('text'); // no zeros of 8192 x 8192 in a store
  expect(restoreStatistics(config, stored)).toStrictEqual(seen);
});

describe('what does not fit the model is refused', () => {
  const f32 = (length: number) => new Float32Array(length);
  type Edit = (stored: Required<StoredStatistics>) => object;
  test.for<[string, Edit]>([
    ['no samples', () => ({ samples: undefined })],
    ['samples that are none', () => ({ samples: [null] })],
    ['a short query', () => ({ samples: [{ ...sample(), query: f32(1) }] })],
    ['keys of another count', () => ({ samples: [{ ...sample(), keyCos: f32(H) }] })],
    ['no rows', () => ({ samples: [{ ...sample(), rowColumn: [0, 1, 2] }] })],
    [
      'a row beyond the keys',
      () => ({ samples: [{ ...sample(), rowColumn: Int32Array.of(0, 1, T) }] }),
    ],
    [
      'a row of long ago',
      () => ({ samples: [{ ...sample(), rowColumn: Int32Array.of(-1, 1, 2) }] }),
    ],
    ['a long mask', () => ({ samples: [{ ...sample(), keyMask: new Uint8Array(T + 1) }] })],
    ['a moment of another width', ({ vision }) => ({ vision: { ...vision, sum: f32(D * D + 1) } })],
    ['a moment of two widths', ({ text }) => ({ text: { ...text, first: f32(D - 1) } })],
    ['a moment of f64', ({ text }) => ({ text: { ...text, first: new Float64Array(D) } })],
    ['a moment of less than nothing', ({ text }) => ({ text: { ...text, count: -1 } })],
    ['half a token', ({ text }) => ({ text: { ...text, count: 0.5 } })],
    ['fewer heads', ({ attention: a }) => ({ attention: { ...a, queries: a.queries.slice(1) } })],
    [
      'more heads',
      ({ attention: a }) => ({ attention: { ...a, effect: new Float64Array(N + 1) } }),
    ],
    ['no heads', ({ attention: a }) => ({ attention: { ...a, mass: undefined } })],
    ['a residual of no count', () => ({ residual: { sum: 1 } })],
    ['a residual below zero', () => ({ residual: { sum: -1, count: 1 } })],
  ])('%s', async ([, edit]) => {
    const stored = storeStatistics(await calibration(), RESIDUAL) as Required<StoredStatistics>;
    const edited = { ...stored, ...edit(stored) } as StoredStatistics;
    expect(() => restoreStatistics(config, edited)).toThrow(
      /^restoreStatistics: .+ must .+, got .+\.$/,
    );
  });

  test('nor anything else', async () => {
    const stored = storeStatistics(await calibration(), RESIDUAL);
    // An array by its place among them, as in a store's files.
    const arrays: unknown[] = [];
    const document = JSON.parse(
      JSON.stringify(stored, (_, part) =>
        ArrayBuffer.isView(part) ? { $array: arrays.push(part) - 1 } : part,
      ),
    );
    const read = (text: string) =>
      restoreStatistics(
        config,
        JSON.parse(text, (_, part) => (part?.$array in arrays ? arrays[part.$array] : part)),
      );
    expect(() => read(JSON.stringify(document))).not.toThrow();
    await fuzzJson(document, read, { runs: 1500 });
  });
});

test('a store is not asked for memory by what it says', () => {
  const huge = { length: 2 ** 40 } as unknown as Float32Array;
  const text = { sum: huge, first: huge, count: 1 };
  expect(() => restoreStatistics(config, { samples: [], text })).toThrow(/got another kind/);
});
