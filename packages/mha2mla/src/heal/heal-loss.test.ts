/** The terms of the loss, against the original's logits, finite differences and padding. */
import { type Decoder, prefillStep } from '@mha2mla/mla-runtime';
import { valueAndGrads } from '@mha2mla/peft';
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import { prepareInputs, type VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PackedReferences } from '../evaluate/pack-references';
import { traceModel } from '../trace/trace-model';
import { type AttachedAdapters, attachAdapters } from './attach-adapters';
import {
  disposePrepared,
  healLoss,
  type LossWeights,
  type PreparedBatch,
  prepareBatch,
} from './heal-loss';
import { type TinyHealing, tinyAnswers, tinyHealing } from './tiny-healing';

const answered = tinyAnswers(1);
const CE: LossWeights = { kd: 0, hidden: 0, temperature: 1 };
const ALL: LossWeights = { kd: 0.7, hidden: 2, temperature: 2 };

async function lossOf(student: Decoder, batch: PreparedBatch, weights: LossWeights) {
  const loss = healLoss(student, batch, weights);
  const value = (await loss.data())[0]!;
  loss.dispose();
  return value;
}

/** Mean of -log softmax of the labels, in float64. */
async function crossEntropyOf(
  model: VisionLanguageModel,
  batch: PackedReferences,
): Promise<number> {
  const { shape, values } = (await traceModel(model, batch.inputs)).get('logits')!;
  const width = shape[2]!;
  const terms = [...batch.predicting].map((at, i) => {
    const row = [...values.subarray(at * width, (at + 1) * width)];
    const total = row.reduce((sum, logit) => sum + Math.exp(logit), 0);
    return Math.log(total) - row[batch.labels[i]!]!;
  });
  return terms.reduce((sum, term) => sum + term, 0) / terms.length;
}

/** Relative squared error of each layer's output, at tokens that are not padding, in float64. */
async function layerErrors(tiny: TinyHealing, { inputs }: PackedReferences): Promise<number[]> {
  const [student, teacher] = [
    await traceModel(tiny.student, inputs),
    await traceModel(tiny.teacher, inputs),
  ];
  return [1, 2].map((layer) => {
    const [own, original] = [student, teacher].map((trace) => trace.get(`hidden.${layer}`)!);
    const width = own!.shape[2]!;
    let [error, total] = [0, 0];
    for (const [i, value] of original!.values.entries()) {
      const real = inputs.attentionMask[Math.floor(i / width)]!;
      error += real * (own!.values[i]! - value) ** 2;
      total += real * value ** 2;
    }
    return error / total;
  });
}

/** Adapters whose B is not zero. */
function adapt({ decoder }: VisionLanguageModel): AttachedAdapters {
  const targetModules = '.*self_attn.*';
  const adapters = attachAdapters(decoder, { r: 4, loraAlpha: 4, targetModules, seed: 7 });
  tf.tidy(() => {
    for (const [i, { variable }] of adapters.parameters.entries()) {
      const values = gaussian(variable.size, i + 1).map((value) => value / 10);
      variable.assign(tf.tensor(values, variable.shape));
    }
  });
  return adapters;
}

describeBackends('the loss of healing', () => {
  let tiny: TinyHealing;
  let batch: PreparedBatch;

  beforeAll(async () => {
    tiny = await tinyHealing({ bias: true });
    batch = prepareBatch(tiny.student, tiny.teacher.decoder, answered);
  });
  afterAll(() => {
    disposePrepared(batch);
    tiny.dispose();
  });

  test('the original is not asked where nothing of it is learnt', () => {
    const { student, teacher } = tiny;
    const alone = prepareBatch(student, teacher.decoder, answered, { kd: 0, hidden: 0 });
    expect(alone.teacher).toBeUndefined();
    const weights = { kd: 0, hidden: 0, temperature: 1 };
    const [own, all] = [alone, batch].map((one) => healLoss(student.decoder, one, weights));
    expect(own!.dataSync()).toEqual(all!.dataSync());
    tf.dispose([own, all]);
    disposePrepared(alone);
  });

  test("a batch carries the original's logits of the answers and outputs of its layers", async () => {
    const { teacher } = tiny;
    const { logits, hidden } = batch.teacher!;
    const { shape, values } = (await traceModel(teacher, answered.inputs)).get('logits')!;
    const width = shape[2]!;
    const expected = [...answered.predicting].flatMap((at) => [
      ...values.subarray(at * width, (at + 1) * width),
    ]);
    // Size 3; the head sees 9 rows here, 39 there.
    expectClose(await logits.data(), expected, { abs: 1e-6 });

    const { layout, positionIds } = prepareInputs(teacher.family, teacher.config, answered.inputs);
    const step = prefillStep(layout, positionIds, teacher.config.decoder);
    const outputs: tf.Tensor[] = [];
    const last = await teacher.decoder.prefill(batch.embedded, step, {
      onHidden: (index, output) => index > 0 && outputs.push(tf.clone(output)),
    });
    for (const [i, output] of outputs.entries()) {
      expect(await hidden[i]!.data()).toEqual(await output.data());
    }
    expect(hidden).toHaveLength(2);
    step.dispose();
    tf.dispose([last, ...outputs]);
  });

  test('a student that is the original has the cross-entropy alone', async () => {
    const { teacher } = tiny;
    const own = await lossOf(teacher.decoder, batch, CE);
    expectClose([own], [await crossEntropyOf(teacher, answered)], { rel: 1e-6 });
    // The other terms are sums over differences that are zero to the bit.
    expect(await lossOf(teacher.decoder, batch, ALL)).toBe(own);
  });

  test('a student that is not has all three', async () => {
    const { decoder } = tiny.student;
    const ce = await lossOf(decoder, batch, CE);
    expectClose([ce], [await crossEntropyOf(tiny.student, answered)], { rel: 1e-6 });
    const kd = (await lossOf(decoder, batch, { ...CE, kd: 1 })) - ce;
    const hidden = (await lossOf(decoder, batch, { ...CE, hidden: 1 })) - ce;
    expect(kd).toBeGreaterThan(1e-3);
    const errors = await layerErrors(tiny, answered);
    // A difference of two losses of size 4 in float32.
    expectClose([hidden], [(errors[0]! + errors[1]!) / 2], { abs: 2e-6 });
    expect(hidden).toBeGreaterThan(1e-3);
    const both = await lossOf(decoder, batch, { kd: 0.5, hidden: 3, temperature: 1 });
    expectClose([both], [ce + 0.5 * kd + 3 * hidden], { rel: 1e-6 });
    // At a high temperature T^2 KL tends to half the squared distance of centred logits a word.
    const [warm, hot] = await Promise.all(
      [100, 200].map((temperature) => lossOf(decoder, batch, { ...CE, kd: 1, temperature })),
    );
    expectClose([warm! - ce], [hot! - ce], { rel: 0.05 });
  });

  test('gradients by every adapter are finite differences', async () => {
    const { student } = tiny;
    const adapters = adapt(student);
    const lossFn = () => healLoss(student.decoder, batch, ALL);
    const { value, grads } = valueAndGrads(lossFn, adapters.parameters);
    for (const { name, variable } of adapters.parameters) {
      const grad = await grads[name]!.data();
      const norm = Math.hypot(...grad);
      const start = Float32Array.from(await variable.data());
      // Along the gradient, by a step that outweighs the rounding of a loss of size 5 (5e-7).
      const step = 0.02;
      const at = async (sign: number) => {
        const moved = start.map((x, i) => x + (sign * step * grad[i]!) / norm);
        tf.tidy(() => variable.assign(tf.tensor(moved, variable.shape)));
        return lossOf(student.decoder, batch, ALL);
      };
      const slope = ((await at(1)) - (await at(-1))) / (2 * step);
      tf.tidy(() => variable.assign(tf.tensor(start, variable.shape)));
      // Float32: 1e-2 of the gradient, and the rounding of both losses over the step.
      expect(Math.abs(slope - norm), `${name}: ${slope} and ${norm}`).toBeLessThan(
        1e-2 * norm + 1e-4,
      );
    }
    tf.dispose([value, grads] as tf.TensorContainer);
    adapters.detach();
  });

  test('padding takes no part, however much there is', async () => {
    const { student, teacher } = tiny;
    const adapters = adapt(student);
    const padded = prepareBatch(student, teacher.decoder, tinyAnswers(1, 3, 5));
    const [own, other] = [batch, padded].map((prepared) =>
      valueAndGrads(() => healLoss(student.decoder, prepared, ALL), adapters.parameters),
    );
    expectClose(await other!.value.data(), await own!.value.data(), { rel: 1e-5 });
    for (const { name } of adapters.parameters) {
      const expected = await own!.grads[name]!.data();
      expectClose(await other!.grads[name]!.data(), expected, { abs: 1e-5, rel: 1e-4 });
    }
    disposePrepared(padded);
    tf.dispose([own, other] as unknown as tf.TensorContainer);
    adapters.detach();
  });

  test('an embedding of NaN at padding changes nothing', async () => {
    const { student, teacher } = tiny;
    const poisoned: VisionLanguageModel = Object.assign(Object.create(student), {
      embed: (inputs: PackedReferences['inputs']) =>
        tf.tidy(() => {
          const real = tf.reshape(tf.cast(tf.tensor(inputs.attentionMask), 'bool'), [3, -1, 1]);
          const embedded = student.embed(inputs);
          return tf.where(real, embedded, tf.fill(embedded.shape, Number.NaN));
        }),
    });
    const prepared = prepareBatch(poisoned, teacher.decoder, answered);
    expect((await prepared.embedded.data()).some(Number.isNaN)).toBe(true);
    const value = await lossOf(student.decoder, prepared, ALL);
    expect(value).toBe(await lossOf(student.decoder, batch, ALL));
    disposePrepared(prepared);
  });

  test('leaves nothing behind, an error neither', () =>
    expectNoLeak(async () => {
      const { student, teacher } = tiny;
      const prepared = prepareBatch(student, teacher.decoder, answered);
      await lossOf(student.decoder, prepared, ALL);
      disposePrepared(prepared);
      const inputs = { ...answered.inputs, pixelValues: undefined };
      expect(() => prepareBatch(student, teacher.decoder, { ...answered, inputs })).toThrow(
        /and 0 features/,
      );
    }));
});
