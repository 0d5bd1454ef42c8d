import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { type LoraProjection, lora } from './lora';
import { loraDelta } from './lora-delta';
import type { Projection } from './projection';
import { affine } from './testing/affine';
import { valueAndGrads } from './value-and-grads';

const IN = 12;
const OUT = 10;

const dense = (seed = 1) => affine(IN, OUT, seed);

/** An adapter with a B that is not zero, as after training. */
function trained(base: Projection, options = {}): LoraProjection {
  const adapter = lora(base, { r: 3, loraAlpha: 6, seed: 4, ...options });
  const b = adapter.parameters[1]!.variable;
  const values = tf.tensor2d(gaussian(b.size, 9), [OUT, 3]);
  b.assign(values);
  values.dispose();
  return adapter;
}

const tensors = ({ parameters: [a, b] }: LoraProjection) =>
  [a!.variable, b!.variable] as unknown as [tf.Tensor2D, tf.Tensor2D];

describeBackends('lora', () => {
  it.each([5, 50])('starts at the base projection, to the bit, %d rows', async (rows) => {
    const base = dense();
    const adapter = lora(base, { r: 3 });
    const x = tf.tensor(gaussian(2 * rows * IN, 3), [2, rows, IN]);
    const [y, expected] = [adapter.apply(x), base.apply(x)];
    expect(y.shape).toEqual([2, rows, OUT]);
    expect(await y.data()).toEqual(await expected.data());
    base.dispose();
    adapter.dispose();
    tf.dispose([x, y, expected]);
  });

  it.each([[{}], [{ useRslora: true }]])(
    'merged weights give the outputs of the adapter %o',
    async (options) => {
      const base = dense();
      const adapter = trained(base, options);
      const x = tf.tensor2d(gaussian(7 * IN, 3), [7, IN]);
      const y = adapter.apply(x); // few rows: the adapter stands beside the base
      const merged = adapter.merge();
      const expected = tf.tidy(() => tf.add(tf.matMul(x, merged), adapter.bias!));
      // Outputs of size about 20; two orders of the same float32 sums.
      expectClose(await y.data(), await expected.data(), { abs: 1e-5, rel: 1e-6 });
      const weight = adapter.weight();
      expect(await weight.data()).toEqual(await merged.data());
      base.dispose();
      adapter.dispose();
      tf.dispose([x, y, merged, expected, weight]);
    },
  );

  it('W changes by s B A, s = alpha / r or alpha / sqrt(r)', async () => {
    const base = dense();
    for (const [options, scale] of [
      [{}, 2],
      [{ useRslora: true }, 6 / Math.sqrt(3)],
    ] as const) {
      const adapter = trained(base, options);
      expect(adapter.scale).toBeCloseTo(scale, 12);
      const [a, b] = await Promise.all(adapter.parameters.map(({ variable }) => variable.data()));
      const [w, merged] = [base.weight(), adapter.merge()];
      const expected = (await w.data()).map((value, at) => {
        const [i, o] = [Math.floor(at / OUT), at % OUT];
        let sum = 0;
        for (let r = 0; r < 3; r++) sum += b![o * 3 + r]! * a![r * IN + i]!;
        return value + scale * sum;
      });
      expectClose(await merged.data(), expected, { abs: 1e-6, rel: 1e-6 }); // one rounding or two
      adapter.dispose();
      tf.dispose([w, merged]);
    }
    base.dispose();
  });

  it('gradients by A, B and x are finite differences', async () => {
    const base = dense();
    const adapter = trained(base);
    const x = tf.variable(tf.tensor(gaussian(2 * 3 * IN, 3), [2, 3, IN]));
    const pick = tf.tensor(gaussian(2 * 3 * OUT, 8), [2, 3, OUT]);
    const parameters = [...adapter.parameters, { name: 'x', variable: x }];
    const loss = () => tf.sum(tf.mul(adapter.apply(x), pick)) as tf.Scalar;
    const { value, grads } = valueAndGrads(loss, parameters);
    for (const { name, variable } of parameters) {
      expect(grads[name]!.shape).toEqual(variable.shape);
      const start = Float32Array.from(await variable.data());
      const differences = start.map((_, i) => {
        const at = (move: number) =>
          tf.tidy(() => {
            const moved = start.slice();
            moved[i]! += move;
            variable.assign(tf.tensor(moved, variable.shape));
            return loss().dataSync()[0]!;
          });
        return (at(0.5) - at(-0.5)) / 1;
      });
      tf.tidy(() => variable.assign(tf.tensor(start, variable.shape)));
      // The loss is linear in each of the three alone, so only rounding differs.
      expectClose(await grads[name]!.data(), differences, { abs: 2e-4 });
    }
    base.dispose();
    adapter.dispose();
    tf.dispose([x, pick, value, grads] as tf.TensorContainer);
  });

  it('many rows are multiplied by the merged weight: outputs and gradients are the same', async () => {
    const base = dense();
    const adapter = trained(base);
    const x = tf.variable(tf.tensor(gaussian(3 * 20 * IN, 3), [3, 20, IN]));
    const pick = tf.tensor(gaussian(3 * 20 * OUT, 8), [3, 20, OUT]);
    const parameters = [...adapter.parameters, { name: 'x', variable: x }];
    const beside = (input: tf.Tensor) =>
      tf.add(base.apply(input), loraDelta(input, ...tensors(adapter), adapter.scale));
    const [merged, expected] = [adapter.apply, beside].map((apply) => {
      const y = apply(x);
      return { y, ...valueAndGrads(() => tf.sum(tf.mul(apply(x), pick)) as tf.Scalar, parameters) };
    });
    // Outputs of size about 20, gradients about 60: two orders of the same float32 sums.
    expect(merged!.y.shape).toEqual([3, 20, OUT]);
    expectClose(await merged!.y.data(), await expected!.y.data(), { abs: 1e-5, rel: 3e-6 });
    for (const { name } of parameters) {
      const [grad, other] = [merged!.grads[name]!, expected!.grads[name]!];
      expect(grad.shape).toEqual(other.shape);
      expectClose(await grad.data(), await other.data(), { abs: 3e-5, rel: 3e-6 });
    }
    base.dispose();
    adapter.dispose();
    tf.dispose([x, pick, merged, expected] as unknown as tf.TensorContainer);
  });

  it('no rows give no outputs and gradients of zero', async () => {
    const base = dense();
    const adapter = trained(base);
    const x = tf.zeros([1, 0, IN]);
    const loss = () => {
      const y = tf.add(adapter.apply(x), 0);
      expect(y.shape).toEqual([1, 0, OUT]);
      return tf.sum(tf.concat([y, tf.ones([1, 2, OUT])], 1)) as tf.Scalar;
    };
    const { value, grads } = valueAndGrads(loss, adapter.parameters);
    for (const { name, variable } of adapter.parameters) {
      expectClose(await grads[name]!.data(), new Float32Array(variable.size), { abs: 0 });
    }
    const wrong = tf.zeros([2, IN + 1]);
    expect(() => adapter.apply(wrong)).toThrow('x must be [..., 12], got [2,13]');
    base.dispose();
    adapter.dispose();
    tf.dispose([x, wrong, value, grads] as tf.TensorContainer);
  });

  it('A is Kaiming-uniform, the same for the same seed', async () => {
    const base = dense();
    const draw = async (options: object) => {
      const adapter = lora(base, { r: 10, ...options });
      const values = await adapter.parameters[0]!.variable.data();
      adapter.dispose();
      return Float32Array.from(values);
    };
    const first = await draw({ seed: 1 });
    expect(await draw({ seed: 1 })).toEqual(first);
    expect(await draw({ seed: 2 })).not.toEqual(first);
    for (const initStd of [undefined, 0.02]) {
      expect(await draw({ seed: 0, initStd })).toEqual(await draw({ seed: 0, initStd }));
    }
    const bound = 1 / Math.sqrt(IN);
    const largest = Math.max(...first.map(Math.abs));
    expect(largest).toBeLessThanOrEqual(bound);
    expect(largest).toBeGreaterThan(0.9 * bound); // 120 draws: 3e-6 to stay below
    const std = Math.sqrt((await draw({ initStd: 0.02 })).reduce((sum, v) => sum + v * v, 0) / 120);
    expect(std).toBeGreaterThan(0.015);
    expect(std).toBeLessThan(0.025);
    base.dispose();
  });

  it('names its parameters after the module, as a checkpoint of PEFT does', () => {
    const base = dense();
    const adapter = lora(base, { r: 2, name: 'layers.0.q_proj' });
    expect(adapter.parameters.map(({ name }) => name)).toEqual([
      'layers.0.q_proj.lora_A.weight',
      'layers.0.q_proj.lora_B.weight',
    ]);
    expect(adapter.parameters.map(({ variable }) => variable.shape)).toEqual([
      [2, IN],
      [OUT, 2],
    ]);
    adapter.dispose();
    base.dispose();
  });

  it('refuses ranks that are none', () => {
    const base = dense();
    for (const r of [0, 1.5, 11, Number.NaN]) {
      expect(() => lora(base, { r })).toThrow(`r must be a whole number from 1 to 10, got r=${r}`);
    }
    expect(() => lora(base, { r: 2, loraAlpha: Infinity })).toThrow(/loraAlpha must be finite/);
    base.dispose();
  });

  it('leaves nothing behind, and leaves the base alone', () =>
    expectNoLeak(() => {
      const base = dense();
      const adapter = lora(base, { r: 2 });
      const x = tf.ones([2, IN]);
      const many = tf.ones([50, IN]);
      tf.dispose([adapter.apply(x), adapter.merge(), adapter.weight()]);
      for (const input of [x, many]) {
        const loss = () => tf.sum(tf.square(adapter.apply(input))) as tf.Scalar;
        const { value, grads } = valueAndGrads(loss, adapter.parameters);
        tf.dispose([value, grads] as tf.TensorContainer);
      }
      adapter.dispose();
      tf.dispose([x, many, base.apply(x)]);
      base.dispose();
    }));
});
