import { describeBackends } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { dryRun } from './dry-run';
import { keepInMemory } from './hidden-states';
import { openTinyLlava, tinyInputs } from './tiny-llava';

const calibration = [tinyInputs(1, 2), tinyInputs(2, 3)];

describeBackends('a dry run', () => {
  test.each<ConvertRunOptions>([
    { rank: 4 },
    { kvBudget: 0.5, allocation: 'measured' },
    { rank: 4, strategy: 'high', init: 'weights' },
    { factor: 'none', propagate: 'original' },
  ])('%j: is of one layer, and its disk that of the whole run', async (options) => {
    const source = await openTinyLlava({ layers: 4 });
    const before = tf.memory().numTensors;
    const output = memoryOutput();
    const found = await dryRun(source, output, { calibration, ...options });
    expect(tf.memory().numTensors).toBe(before);
    const layers = [...output.files.keys()].filter((name) => /^layer-/.test(name));
    expect(layers).toEqual(['layer-00000.json']);

    const whole = memoryOutput();
    await convertModel(source, whole, { calibration, ...options });
    const bytes = [...whole.files].reduce(
      (sum, [name, file]) => sum + (name.endsWith('.safetensors') ? file.length : 0),
      0,
    );
    expect(found.layers).toBe(4);
    // Headers of five files, each below 4 kB, are not counted.
    expect(bytes - found.diskBytes.output).toBeGreaterThan(0);
    expect(bytes - found.diskBytes.output).toBeLessThan(5 * 4096 + 16_384);
    expect(found.diskBytes.hiddenStates).toBe(
      options.init === 'weights' ? 0 : 4 * 32 * 5 * 14, // five samples of 14 tokens
    );
  });

  test('counts a layer as often as there are layers, and what is done once, once', async () => {
    const source = await openTinyLlava({ layers: 8 });
    let embedded = 0;
    const slow: ConvertRunOptions = {
      ...{ calibration, rank: 4 },
      // A tenth of a second for each batch, once; a fifth for each layer's factors.
      keepHidden: async (first) => {
        embedded++;
        await new Promise((resolve) => setTimeout(resolve, 100));
        return keepInMemory(first);
      },
      factorize: async (jobs, signal) => {
        await new Promise((resolve) => setTimeout(resolve, 200));
        const { inlineRunner } = await import('./inline-runner');
        return inlineRunner(jobs, signal);
      },
    };
    const { seconds } = await dryRun(source, memoryOutput(), slow);
    expect(embedded).toBe(2);
    expect(seconds.layer).toBeGreaterThan(0.2);
    // All layers but the last are as the first, and 0.2 s of embedding come once.
    expect(seconds.total).toBeGreaterThan(0.2 + 7 * seconds.layer);
    expect(seconds.total).toBeGreaterThan(8 * 0.2 + 0.2);
    expect(seconds.total - 8 * seconds.layer).toBeLessThan(5); // a busy machine's vision tower
  });
});
