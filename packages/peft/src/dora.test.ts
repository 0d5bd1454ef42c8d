/** DoRA, dropout and initialisation of `lora`. */
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { type LoraOptions, type LoraProjection, lora } from './lora';
import type { Projection } from './projection';
import { affine } from './testing/affine';
import { valueAndGrads } from './value-and-grads';

const IN = 12;
const OUT = 10;
const R = 3;

/** Adapters with a B and an m as after training. */
function trained(base: Projection, options: Partial<LoraOptions> = {}): LoraProjection {
  return tf.tidy(() => {
    const loraA = tf.tensor2d(gaussian(R * IN, 5), [R, IN]);
    const loraB = tf.tensor2d(gaussian(OUT * R, 6), [OUT, R]);
    const magnitude = tf.tensor1d(gaussian(OUT, 7).map((value) => 3 + value));
    const weights = { loraA, loraB, ...(options.useDora !== false && { magnitude }) };
    const all = { r: R, loraAlpha: 6, useDora: true, initLoraWeights: weights, ...options };
    return lora(base, all) as unknown as tf.TensorContainer;
  }) as unknown as LoraProjection;
}

const read = async (tensor: tf.Tensor) => {
  const values = Float32Array.from(await tensor.data());
  tensor.dispose();
  return values;
};

describeBackends('DoRA', () => {
  it.each([5, 50])('starts at the base projection, to the bit, %d rows', async (rows) => {
    const base = affine(IN, OUT);
    const adapter = lora(base, { r: R, useDora: true });
    const x = tf.tensor(gaussian(rows * IN, 3), [rows, IN]);
    expect(await read(adapter.apply(x))).toEqual(await read(base.apply(x)));
    expect(await read(adapter.merge())).toEqual(await read(base.weight()));
    adapter.dispose();
    base.dispose();
    x.dispose();
  });

  it('every output of the merged weight has the norm m', async () => {
    const base = affine(IN, OUT);
    const adapter = trained(base);
    const merged = await read(adapter.merge());
    const m = await adapter.parameters[2]!.variable.data();
    for (let o = 0; o < OUT; o++) {
      let squares = 0;
      for (let i = 0; i < IN; i++) squares += merged[i * OUT + o]! ** 2;
      expect(Math.sqrt(squares)).toBeCloseTo(Math.abs(m[o]!), 5);
    }
    adapter.dispose();
    base.dispose();
  });

  it.each([7, 50])('merged weights give the outputs of the adapter, %d rows', async (rows) => {
    const base = affine(IN, OUT);
    const adapter = trained(base);
    const x = tf.tensor2d(gaussian(rows * IN, 3), [rows, IN]);
    const expected = tf.tidy(() => tf.add(tf.matMul(x, adapter.merge()), base.bias!));
    // Outputs of size about 10; two orders of the same float32 sums.
    expectClose(await read(adapter.apply(x)), await read(expected), { abs: 2e-5 });
    adapter.dispose();
    base.dispose();
    x.dispose();
  });

  it.each([3, 40])('gradients are finite differences with the norm held, %d rows', async (rows) => {
    const base = affine(IN, OUT);
    const adapter = trained(base);
    const x = tf.variable(tf.tensor(gaussian(rows * IN, 3), [rows, IN])) as tf.Variable;
    const pick = tf.tensor(gaussian(rows * OUT, 8), [rows, OUT]);
    const parameters = [...adapter.parameters, { name: 'x', variable: x }];
    const [a, b, m] = adapter.parameters.map(({ variable }) => variable) as unknown as [
      tf.Tensor2D,
      tf.Tensor2D,
      tf.Tensor1D,
    ];
    const adapted = () =>
      tf.add(base.weight(), tf.mul(tf.transpose(tf.matMul(b, a)), adapter.scale));
    const norm = tf.tidy(() => tf.sqrt(tf.sum(tf.square(adapted()), 0)));
    const held = () =>
      tf.tidy(() => {
        const weight = tf.mul(adapted(), tf.div(m, norm)) as tf.Tensor2D;
        return tf.sum(tf.mul(tf.matMul(x as unknown as tf.Tensor2D, weight), pick));
      });
    const loss = () => tf.sum(tf.mul(adapter.apply(x), pick)) as tf.Scalar;
    const { value, grads } = valueAndGrads(loss, parameters);
    for (const { name, variable } of parameters) {
      const start = Float32Array.from(await variable.data());
      const differences: number[] = [];
      for (let i = 0; i < start.length; i++) {
        const at = async (move: number) => {
          const moved = start.slice();
          moved[i]! += move;
          tf.tidy(() => variable.assign(tf.tensor(moved, variable.shape)));
          return (await read(held()))[0]!;
        };
        differences.push((await at(0.5)) - (await at(-0.5)));
      }
      tf.tidy(() => variable.assign(tf.tensor(start, variable.shape)));
      // Linear in each alone, so only rounding differs: sums of up to 400 terms of size 10.
      expectClose(await grads[name]!.data(), differences, { abs: 1e-3 });
    }
    adapter.dispose();
    base.dispose();
    tf.dispose([x, pick, norm, value, grads] as tf.TensorContainer);
  });

  it('an output of zeros stays zero, and no rows give no outputs', async () => {
    const weight = tf.zeros<tf.Rank.R2>([IN, OUT]);
    const base: Projection = {
      inFeatures: IN,
      outFeatures: OUT,
      apply: (x) => tf.zeros([...x.shape.slice(0, -1), OUT]),
      weight: () => tf.clone(weight),
      dispose: () => weight.dispose(),
    };
    const adapter = lora(base, { r: R, useDora: true });
    const [x, none] = [tf.ones([2, IN]), tf.ones([1, 0, IN])];
    expect(await read(adapter.apply(x))).toEqual(new Float32Array(2 * OUT));
    const empty = adapter.apply(none);
    expect(empty.shape).toEqual([1, 0, OUT]);
    adapter.dispose();
    base.dispose();
    tf.dispose([x, none, empty]);
  });

  it('a batch without rows gives gradients of zero', async () => {
    const base = affine(IN, OUT);
    const adapter = trained(base);
    const x = tf.zeros([0, IN]);
    const loss = () =>
      tf.sum(tf.concat([tf.add(adapter.apply(x), 0), tf.ones([2, OUT])])) as tf.Scalar;
    const { value, grads } = valueAndGrads(loss, adapter.parameters);
    for (const { name, variable } of adapter.parameters) {
      expect(await read(grads[name]!)).toEqual(new Float32Array(variable.size));
    }
    adapter.dispose();
    base.dispose();
    tf.dispose([x, value]);
  });

  it('its magnitude goes by the name that PEFT has', () => {
    const base = affine(IN, OUT);
    const adapter = lora(base, { r: 2, useDora: true, name: 'q_proj' });
    expect(adapter.parameters.map(({ name }) => name)).toEqual([
      'q_proj.lora_A.weight',
      'q_proj.lora_B.weight',
      'q_proj.lora_magnitude_vector',
    ]);
    adapter.dispose();
    base.dispose();
  });
});

describeBackends('dropout of an adapter', () => {
  it.each([false, true])(
    'draws by seed and step, and rests at inference, DoRA %s',
    async (useDora) => {
      const base = affine(IN, OUT);
      const options = { useDora, loraDropout: 0.5, seed: 3 };
      const [one, two] = [trained(base, options), trained(base, options)];
      const plain = trained(base, { ...options, loraDropout: 0 });
      const x = tf.tensor2d(gaussian(40 * IN, 3), [40, IN]);
      const outputs = (adapter: LoraProjection) => read(adapter.apply(x));
      const rest = await outputs(plain);
      expect(await outputs(one)).toEqual(rest);
      for (const adapter of [one, two, plain]) adapter.train(1);
      const first = await outputs(one);
      expect(first).not.toEqual(rest);
      expect(await outputs(two)).toEqual(first);
      one.train(2);
      expect(await outputs(one)).not.toEqual(first);
      one.train(1);
      expect(await outputs(one)).toEqual(first);
      one.eval();
      expect(await outputs(one)).toEqual(rest);
      // Of rate 0, training changes no more than the order of sums.
      expectClose(await outputs(plain), rest, { abs: 2e-5 });
      for (const adapter of [one, two, plain, base]) adapter.dispose();
      x.dispose();
    },
  );

  it('keeps the expected update: the mean over many steps is that without', async () => {
    const base = affine(IN, OUT);
    const adapter = trained(base, { useDora: false, loraDropout: 0.25 });
    const x = tf.ones([1, IN]);
    const rest = await read(adapter.apply(x));
    const mean = new Float64Array(OUT);
    for (let step = 0; step < 400; step++) {
      adapter.train(step);
      for (const [o, value] of (await read(adapter.apply(x))).entries()) mean[o]! += value / 400;
    }
    // Each of 12 inputs is out by 0.58 of its size: updates of about 12 have an error of 0.3.
    expectClose(mean, rest, { abs: 2 });
    adapter.dispose();
    base.dispose();
    x.dispose();
  });

  it('gradients follow what was drawn, and nothing is left behind', () =>
    expectNoLeak(async () => {
      const base = affine(IN, OUT);
      for (const useDora of [false, true]) {
        const adapter = trained(base, { useDora, loraDropout: 0.5 });
        const x = tf.ones([50, IN]);
        adapter.train(4);
        const loss = () => tf.sum(tf.square(adapter.apply(x))) as tf.Scalar;
        const [first, again] = [0, 1].map(() => valueAndGrads(loss, adapter.parameters));
        expect(await first!.value.data()).toEqual(await again!.value.data());
        for (const { name } of adapter.parameters) {
          expect(await first!.grads[name]!.data()).toEqual(await again!.grads[name]!.data());
        }
        adapter.dispose();
        tf.dispose([x, adapter.eval(), first, again] as unknown as tf.TensorContainer);
      }
      base.dispose();
    }));
});

describeBackends('initialisation of an adapter', () => {
  const draw = async (options: Partial<LoraOptions>) => {
    const base = affine(IN, OUT);
    const adapter = lora(base, { r: 8, ...options });
    const values = await Promise.all(
      adapter.parameters.map(async ({ variable }) => Float32Array.from(await variable.data())),
    );
    adapter.dispose();
    base.dispose();
    return values as [Float32Array, Float32Array, Float32Array?];
  };
  const std = (values: Float32Array) =>
    Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);

  it('gaussian: A of spread 1 / r, B zero', async () => {
    const [a, b] = await draw({ initLoraWeights: 'gaussian' });
    expect(std(a) * 8).toBeGreaterThan(0.75); // 96 draws: 7 % of error
    expect(std(a) * 8).toBeLessThan(1.25);
    expect(b).toEqual(new Float32Array(8 * OUT));
  });

  it('false: B uniform up to 1 / sqrt(r), the same for the same seed', async () => {
    const [a, b] = await draw({ initLoraWeights: false, seed: 2 });
    const largest = Math.max(...b.map(Math.abs));
    expect(largest).toBeLessThanOrEqual(1 / Math.sqrt(8));
    expect(largest).toBeGreaterThan(0.9 / Math.sqrt(8));
    expect((await draw({ initLoraWeights: false, seed: 2 })).slice(0, 2)).toEqual([a, b]);
    expect((await draw({ seed: 2 }))[0]).toEqual(a);
  });

  it('given weights are copied; without a magnitude DoRA starts at the norms', async () => {
    const base = affine(IN, OUT);
    const plain = trained(base, { useDora: false });
    const [a, b] = plain.parameters.map(({ variable }) => variable) as unknown as [
      tf.Tensor2D,
      tf.Tensor2D,
    ];
    const weights = { loraA: tf.clone(a), loraB: tf.clone(b) };
    const dora = lora(base, { r: R, loraAlpha: 6, useDora: true, initLoraWeights: weights });
    tf.dispose([weights.loraA, weights.loraB]);
    expect(await read(dora.merge())).toEqual(await read(plain.merge()));
    for (const adapter of [plain, dora, base]) adapter.dispose();
  });

  it('refuses what does not fit', () => {
    const base = affine(IN, OUT);
    const loraA = tf.zeros<tf.Rank.R2>([R, IN]);
    const loraB = tf.zeros<tf.Rank.R2>([OUT, R]);
    const magnitude = tf.ones<tf.Rank.R1>([OUT + 1]);
    const make = (options: object) => () => lora(base, { r: R, ...options });
    const wrong = (given: object) => make({ initLoraWeights: { loraA, loraB, ...given } });
    const before = tf.memory().numTensors;
    expect(wrong({ loraA: loraB })).toThrow('lora: loraA must be [3,12], got [10,3]');
    expect(wrong({ loraB: loraA })).toThrow('lora: loraB must be [10,3], got [3,12]');
    expect(wrong({ magnitude })).toThrow('a magnitude must come with useDora');
    expect(make({ useDora: true, initLoraWeights: { loraA, loraB, magnitude } })).toThrow(
      'lora: magnitude must be [10], got [11]',
    );
    expect(make({ initLoraWeights: 'pissa' })).toThrow(/got pissa. For PiSSA/);
    for (const loraDropout of [-0.1, 1, Number.NaN]) {
      expect(make({ loraDropout })).toThrow(`in [0, 1), got loraDropout=${loraDropout}`);
    }
    expect(tf.memory().numTensors).toBe(before);
    const adapter = make({})();
    expect(() => adapter.train(Number.NaN)).toThrow('step must be a finite number, got step=NaN');
    adapter.dispose();
    base.dispose();
    tf.dispose([loraA, loraB, magnitude]);
  });
});
