/** Losses, gradients and three AdamW steps against HF PEFT's own, with and without distillation. */
import { type PrefillStep, prefillStep, tokenLayout } from '@mha2mla/mla-runtime';
import {
  AdamW,
  clipByGlobalNorm,
  crossEntropy,
  distillationLoss,
  valueAndGrads,
} from '@mha2mla/peft';
import { describeBackends, expectClose } from '@mha2mla/testing';
import type { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { adapterKeys } from './adapter-keys';
import { loadAdapter } from './load-adapter';
import { ModelAdapters } from './model-adapters';
import {
  FAMILIES,
  goldenAdapter,
  goldenInputs,
  goldenRuns,
  goldenTensors,
  loadGoldenModel,
} from './testing/peft-goldens';

/** fixtures/peft/README.md tells what of it is rounding. */
const GRADIENTS = { abs: 3e-5 };
const LOSS = { abs: 2e-5 };
const RUNS = ['ce', 'distill'] as const;

for (const family of FAMILIES) {
  describeBackends(`training as PEFT does, ${family}`, () => {
    const golden = goldenTensors(family, 'train');
    let model: VisionLanguageModel;
    let adapters: ModelAdapters;
    let embedded: tf.Tensor3D;
    let step: PrefillStep;
    let predicting: tf.Tensor1D;
    let labels: tf.Tensor1D;
    let teacher: tf.Tensor2D;

    /** Logits of the answers. */
    const answerLogits = () =>
      tf.tidy(() => {
        const hidden = model.decoder.prefillSync(embedded, step).at(-1)!;
        const rows = tf.gather(tf.reshape(hidden, [-1, hidden.shape[2]]), predicting);
        return model.decoder.logits(rows) as tf.Tensor2D;
      });
    const lossOf = (run: (typeof RUNS)[number]) => () =>
      tf.tidy(() => {
        const logits = answerLogits();
        const loss = crossEntropy(logits, labels);
        if (run === 'ce') return loss;
        const distilled = distillationLoss(logits, teacher, { temperature: 2 });
        return tf.add(loss, tf.mul(distilled, 0.5)) as tf.Scalar;
      });
    /** Trained parameters under the names of the file. */
    const named = (name: string) => {
      const { modules, config } = adapters.adapters.get(name)!;
      const keys = modules.flatMap((module) =>
        adapterKeys(adapters.modules.get(module)!.storedNames[0]!, config.useDora),
      );
      return adapters.parameters(name).map(({ variable }, i) => ({ name: keys[i]!, variable }));
    };
    const expectGradients = async (grads: tf.NamedTensorMap, prefix: string) => {
      let squares = 0;
      for (const [name, grad] of Object.entries(grads)) {
        const values = await grad.data();
        expectClose(values, golden(`${prefix}.grad1.${name}`).data, GRADIENTS);
        for (const value of values) squares += value * value;
      }
      return Math.sqrt(squares);
    };

    beforeAll(async () => {
      model = await loadGoldenModel(family);
      const [inputIds, attentionMask, positionIds, targets] = [
        'input_ids',
        'attention_mask',
        'position_ids',
        'labels',
      ].map((name) => Int32Array.from(golden(`batch.${name}`).data));
      const [batch, length] = golden('batch.input_ids').shape as [number, number];
      const own = { batch, length, inputIds: inputIds!, attentionMask: attentionMask! };
      embedded = model.embed({ ...(await goldenInputs(family)), ...own });
      const vision = new Set(model.config.visionTokenIds);
      const isVision = (id: number) => vision.has(id);
      const layout = tokenLayout(inputIds!, attentionMask!, [batch, length], isVision);
      step = prefillStep(layout, positionIds!, model.config.decoder);
      const places = [...targets!.keys()].filter(
        (t) => (t + 1) % length !== 0 && targets![t + 1]! >= 0,
      );
      predicting = tf.tensor1d(places, 'int32');
      labels = tf.tensor1d(
        places.map((t) => targets![t + 1]!),
        'int32',
      );
      teacher = answerLogits();
    });
    beforeEach(() => {
      adapters = new ModelAdapters(model);
    });
    afterEach(() => adapters.dispose());
    afterAll(() => {
      step.dispose();
      tf.dispose([embedded, predicting, labels, teacher]);
      model.dispose();
    });

    test('the original answers as the teacher there', async () => {
      expectClose(await teacher.data(), golden('teacher_answer_logits').data, { abs: 1e-4 });
    });

    test.each(RUNS)('%s: losses, gradients and three steps', async (run) => {
      await loadAdapter(adapters, goldenAdapter(family, 'lora'), { name: 'lora' });
      adapters.setAdapter('lora');
      const parameters = named('lora');
      const optimizer = new AdamW(parameters, { weightDecay: 0.01 });
      const { steps } = goldenRuns(family)[run]!;
      for (const [i, expected] of steps.slice(0, 3).entries()) {
        const { value, grads } = valueAndGrads(lossOf(run), parameters);
        expectClose(await value.data(), [expected.loss], LOSS);
        if (i === 0) {
          expectClose([await expectGradients(grads, run)], [expected.grad_norm], { abs: 1e-4 });
        }
        const clipped = clipByGlobalNorm(grads, 1);
        expectClose(await clipped.norm.data(), [expected.grad_norm], { abs: 1e-4 });
        optimizer.step(clipped.grads, 1e-3);
        tf.dispose([value, grads, clipped.grads, clipped.norm] as tf.TensorContainer);
      }
      let [squares, count] = [0, 0];
      for (const { name, variable } of parameters) {
        const [values, expected] = [await variable.data(), golden(`${run}.step3.${name}`).data];
        expectClose(values, expected, { abs: 2e-5 });
        for (const [i, value] of values.entries()) squares += (value - expected[i]!) ** 2;
        count += values.length;
      }
      expect(Math.sqrt(squares / count)).toBeLessThan(1e-6);
      const last = lossOf(run)();
      expectClose(await last.data(), [steps[3]!.loss], LOSS);
      last.dispose();
      optimizer.dispose();
    });

    test('DoRA: loss and gradients, the magnitudes among them', async () => {
      await loadAdapter(adapters, goldenAdapter(family, 'dora'), { name: 'dora' });
      adapters.setAdapter('dora');
      const { value, grads } = valueAndGrads(lossOf('ce'), named('dora'));
      const { ce, grad_norm } = goldenRuns(family).dora as unknown as Record<string, number>;
      expectClose(await value.data(), [ce!], LOSS);
      expect(Object.keys(grads).some((name) => name.endsWith('magnitude_vector'))).toBe(true);
      expectClose([await expectGradients(grads, 'dora')], [grad_norm!], { abs: 1e-4 });
      tf.dispose([value, grads] as tf.TensorContainer);
    });
  });
}
