import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeBackends, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ConvertRunOptions, convertModel } from '../convert/convert-model';
import { openTinyLlava, tinyInputs } from '../convert/tiny-llava';
import { memoryOutput } from '../output/result-output';
import { spillHidden } from './spill-hidden';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mha2mla-spill-'));
});
afterAll(() => rm(folder, { recursive: true }));

const random = (batch: number, seed: number) => {
  const shape: [number, number, number] = [batch, 5, 8];
  return tf.tensor3d(gaussian(batch * 40, seed), shape);
};

describeBackends('spilled hidden states', () => {
  test('come back as they were written last, in memory and on disk, and leave nothing', async () => {
    const before = tf.memory().numTensors;
    const spill = spillHidden({ folder, aboveBytes: 2 * 160 });
    const kept = await Promise.all([2, 1, 3].map((batch, i) => spill.keep(random(batch, i))));
    expect(tf.memory().numTensors - before).toBe(1); // the first fits, no other does
    await kept[1]!.write(random(1, 7));
    await kept[0]!.write(random(2, 8));
    for (const [i, [batch, seed]] of [
      [2, 8],
      [1, 7],
      [3, 2],
    ].entries()) {
      const read = await kept[i]!.read();
      expect(read.shape).toEqual([batch, 5, 8]);
      expect(await read.data()).toEqual(gaussian(batch! * 40, seed!));
      read.dispose();
    }
    expect(await readdir(folder)).toEqual([]); // open, but without a name
    for (const states of kept) states.dispose();
    await spill.close();
    expect(tf.memory().numTensors).toBe(before);
  });

  test.each(['original', 'rope', 'converted'] as const)(
    'a conversion that propagates %s gives the same bytes with them',
    async (propagate) => {
      const source = await openTinyLlava({ layers: 3 });
      const options: ConvertRunOptions = {
        ...{ rank: 4, propagate },
        calibration: [tinyInputs(1, 3), tinyInputs(2, 2)],
      };
      const [inMemory, onDisk] = [memoryOutput(), memoryOutput()];
      await convertModel(source, inMemory, options);
      const before = tf.memory().numTensors;
      const spill = spillHidden({ folder, aboveBytes: 0 });
      await convertModel(source, onDisk, { ...options, keepHidden: spill.keep });
      await spill.close();
      expect(tf.memory().numTensors).toBe(before);
      expect(onDisk.files).toEqual(inMemory.files);
    },
  );
});

test('states that cannot be stored free their tensor, and the error says where', async () => {
  await tf.setBackend('cpu');
  const before = tf.memory().numTensors;
  const spill = spillHidden({ folder: join(folder, 'none'), aboveBytes: 0 });
  await expect(spill.keep(random(1, 1))).rejects.toThrow(/none.*hidden-states/);
  expect(tf.memory().numTensors).toBe(before);
  await spill.close();
});
