/** The gradients of one tape, to the bit, in memory that does not grow with it. */
import { type TrainableParameter, type ValueAndGrads, valueAndGrads } from '@mha2mla/peft';
import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AdapterOptions, attachAdapters } from './attach-adapters';
import { checkpointedGradients } from './checkpointed-gradients';
import {
  disposePrepared,
  healLoss,
  type LossWeights,
  type PreparedBatch,
  prepareBatch,
} from './heal-loss';
import { type TinyHealing, tinyAnswers, tinyHealing } from './tiny-healing';

const ALL: LossWeights = { kd: 0.7, hidden: 2, temperature: 2 };

/** Adapters of which none is zero. */
function attach({ student }: TinyHealing, options: Partial<AdapterOptions> = {}) {
  const targetModules = '.*self_attn.*';
  const defaults = { r: 4, loraAlpha: 4, targetModules, seed: 7, biases: true };
  const adapters = attachAdapters(student.decoder, { ...defaults, ...options });
  tf.tidy(() => {
    for (const [i, { name, variable }] of adapters.parameters.entries()) {
      if (!/lora_[AB]/.test(name)) continue;
      const values = gaussian(variable.size, i + 1).map((value) => value / 10);
      variable.assign(tf.tensor(values, variable.shape));
    }
  });
  return adapters;
}

type Way = (
  tiny: TinyHealing,
  batch: PreparedBatch,
  parameters: readonly TrainableParameter[],
  weights?: LossWeights,
) => ValueAndGrads;

const checkpointed: Way = ({ student }, batch, parameters, weights = ALL) =>
  checkpointedGradients(student.decoder, batch, weights, parameters);
const onOneTape: Way = ({ student }, batch, parameters, weights = ALL) =>
  valueAndGrads(() => healLoss(student.decoder, batch, weights), parameters);

/** All numbers by name, the loss among them. */
async function numbersOf({ value, grads }: ValueAndGrads): Promise<Map<string, unknown>> {
  const numbers = new Map<string, unknown>([['loss', await value.data()]]);
  for (const name of Object.keys(grads).sort()) numbers.set(name, await grads[name]!.data());
  tf.dispose([value, grads] as tf.TensorContainer);
  return numbers;
}

describeBackends('gradients with checkpoints', () => {
  let tiny: TinyHealing;
  let batch: PreparedBatch;

  beforeAll(async () => {
    tiny = await tinyHealing({ layers: 3, bias: true });
    batch = prepareBatch(tiny.student, tiny.teacher.decoder, tinyAnswers(1, 3, 2));
  });
  afterAll(() => {
    disposePrepared(batch);
    tiny.dispose();
  });

  test.each<[string, Partial<AdapterOptions>, Partial<LossWeights>]>([
    ['LoRA', {}, {}],
    ['DoRA', { adapter: 'dora' }, {}],
    ['maps and norms, the last one among them', { adapter: 'none', targetModules: 'v4' }, {}],
    ['the uppermost layer alone', { targetModules: 'layers\\.2\\..*' }, {}],
    ['one layer between others', { targetModules: 'layers\\.1\\.self_attn.*' }, {}],
    ['cross-entropy alone', {}, { kd: 0, hidden: 0 }],
    ['no distance of layers', {}, { hidden: 0 }],
  ])('are those of one tape, to the bit: %s', async (_, options, weights) => {
    const { parameters, detach } = attach(tiny, options);
    const of = { ...ALL, ...weights };
    const expected = await numbersOf(onOneTape(tiny, batch, parameters, of));
    expect(expected.size).toBe(parameters.length + 1);
    expect(await numbersOf(checkpointed(tiny, batch, parameters, of))).toEqual(expected);
    detach();
  });

  test('name the parameter that the loss does not depend on, unless that is allowed', async () => {
    const { parameters, detach } = attach(tiny);
    const idle = { name: 'layers.1.idle.weight', variable: tf.variable(tf.zeros([2])) };
    const all = [...parameters, idle];
    await expectNoLeak(() => {
      expect(() => checkpointed(tiny, batch, all)).toThrow(/got no gradient for 1 of .*1\.idle/);
    });
    const { decoder } = tiny.student;
    const allowed = checkpointedGradients(decoder, batch, ALL, all, { allowMissing: true });
    const expected = await numbersOf(onOneTape(tiny, batch, parameters));
    expect(await numbersOf(allowed)).toEqual(expected);
    idle.variable.dispose();
    detach();
  });

  test('leave nothing behind', () =>
    expectNoLeak(() => {
      const { parameters, detach } = attach(tiny);
      tf.dispose(checkpointed(tiny, batch, parameters) as unknown as tf.TensorContainer);
      detach();
    }));

  test('a layer more takes its input and its gradients, no tape', async () => {
    /** Most bytes at any kernel, beyond those before. */
    const peakOf = async (layers: number, way: Way) => {
      const deep = await tinyHealing({ layers });
      const own = prepareBatch(deep.student, deep.teacher.decoder, tinyAnswers(1, 3));
      const { parameters, detach } = attach(deep);
      const before = tf.memory().numBytes;
      const { kernels } = await tf.profile(() => {
        tf.dispose(way(deep, own, parameters) as unknown as tf.TensorContainer);
        return [];
      });
      const peak = Math.max(...kernels.map(({ totalBytesSnapshot }) => totalBytesSnapshot));
      const numbers = parameters.reduce((sum, { variable }) => sum + variable.size, 0);
      const bytes = { input: own.embedded.size * 4, gradients: (numbers / layers) * 4 };
      detach();
      disposePrepared(own);
      deep.dispose();
      return { bytes, peak: peak - before };
    };
    const growthOf = async (way: Way) => {
      const [few, many] = [await peakOf(2, way), await peakOf(6, way)];
      return { growth: (many.peak - few.peak) / 4, ...many.bytes };
    };
    const { growth, input, gradients } = await growthOf(checkpointed);
    expect(growth).toBeLessThanOrEqual(input + gradients);
    expect((await growthOf(onOneTape)).growth).toBeGreaterThan(5 * (input + gradients));
  });
});
