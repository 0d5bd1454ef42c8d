import { PADDING, prefillStep, rotaryAngles, TEXT, VISION } from '@mha2mla/mla-runtime';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { attentionSamples } from './attention-samples';
import type { CalibrationBatch } from './calibration-batch';
import { openTinyLlava } from './tiny-llava';

const { decoder: config } = (await openTinyLlava({ kvHeads: 2 })).config; // 4 heads of 8 dims
const [BATCH, LENGTH, HALF] = [2, 6, 4];
const kinds = Uint8Array.of(
  ...[PADDING, TEXT, VISION, VISION, TEXT, TEXT],
  ...[TEXT, VISION, TEXT, TEXT, TEXT, PADDING],
);

/** A batch of two rows, padded on the left and on the right. */
function batchOf(): Pick<CalibrationBatch, 'step' | 'angles'> {
  const positionIds = Int32Array.of(1, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 1);
  return {
    step: prefillStep({ batch: BATCH, length: LENGTH, kinds }, positionIds, config),
    angles: rotaryAngles(positionIds, BATCH * LENGTH, config),
  };
}

/** Values that say where they stand: [B, L, heads * H]. */
function numbered(heads: number): Float32Array {
  return Float32Array.from({ length: BATCH * LENGTH * heads * 8 }, (_, i) => i);
}

beforeAll(async () => {
  await tf.setBackend('cpu');
});

test('cuts queries and keys of a row into heads, at spaced columns that are no padding', () => {
  const batch = batchOf();
  const [query, key] = [numbered(4), numbered(2)];
  const samples = attentionSamples(config, batch, query, key, 3, 8);
  expect(samples).toHaveLength(2);
  expect(samples.map(({ rowColumn }) => [...rowColumn])).toEqual([
    [2, 4, 5],
    [1, 3, 4],
  ]);
  expect(samples.map(({ rowIsVision }) => [...rowIsVision])).toEqual([
    [1, 0, 0],
    [1, 0, 0],
  ]);
  expect(samples.map(({ keyMask }) => [...keyMask!])).toEqual([
    [0, 1, 1, 1, 1, 1],
    [1, 1, 1, 1, 1, 0],
  ]);
  for (const [row, sample] of samples.entries()) {
    for (const [i, column] of sample.rowColumn.entries()) {
      const token = row * LENGTH + column;
      for (let head = 0; head < 4; head++) {
        const own = Array.from(sample.query).slice((head * 3 + i) * 8, (head * 3 + i + 1) * 8);
        expect(own[0]).toBe((token * 4 + head) * 8);
        expect(own[7]).toBe((token * 4 + head) * 8 + 7);
      }
      const cos = Array.from(sample.queryCos).slice(i * HALF, (i + 1) * HALF);
      expect(cos).toEqual([...batch.angles.cos.slice(token * HALF, (token + 1) * HALF)]);
      const sin = Array.from(sample.querySin).slice(i * HALF, (i + 1) * HALF);
      expect(sin).toEqual([...batch.angles.sin.slice(token * HALF, (token + 1) * HALF)]);
    }
    for (let column = 0; column < LENGTH; column++) {
      const token = row * LENGTH + column;
      for (let head = 0; head < 2; head++) {
        expect(sample.key[(head * LENGTH + column) * 8]).toBe((token * 2 + head) * 8);
      }
      expect(sample.keyCos[column * HALF]).toBe(batch.angles.cos[token * HALF]);
      expect(sample.keySin[column * HALF + 1]).toBe(batch.angles.sin[token * HALF + 1]);
    }
  }
});

test('takes all columns where there are few, and no more samples than asked for', () => {
  const samples = attentionSamples(config, batchOf(), numbered(4), numbered(2), 64, 1);
  expect(samples.map(({ rowColumn }) => [...rowColumn])).toEqual([[1, 2, 3, 4, 5]]);
});
