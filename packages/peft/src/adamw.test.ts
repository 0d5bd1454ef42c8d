import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { AdamW } from './adamw';
import { clipByGlobalNorm } from './clip-by-global-norm';
import { valueAndGrads } from './value-and-grads';

const SHAPES = { a: [3, 4], b: [5] };

function parameters() {
  return Object.entries(SHAPES).map(([name, shape], i) => ({
    name,
    variable: tf.tidy(() => tf.variable(tf.tensor(gaussian(size(shape), i + 1), shape))),
  }));
}

const size = (shape: number[]) => shape.reduce((product, n) => product * n, 1);

/** Gradients of about the sizes of a training run, another one each step. */
const gradient = (name: string, step: number) =>
  gaussian(size(SHAPES[name as 'a' | 'b']), 100 * step + name.charCodeAt(0));

const asTensors = (step: number) =>
  Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => [name, tf.tensor(gradient(name, step), shape)]),
  );

/** The formulas in float64, with clipping at norm 1 as in a usual run. */
function reference(steps: number, { weightDecay = 0.01, maxNorm = 1 } = {}) {
  const p = { a: [...gaussian(12, 1)], b: [...gaussian(5, 2)] };
  const m = { a: new Array(12).fill(0), b: new Array(5).fill(0) };
  const v = { a: new Array(12).fill(0), b: new Array(5).fill(0) };
  for (let k = 1; k <= steps; k++) {
    const g = { a: [...gradient('a', k)], b: [...gradient('b', k)] };
    const norm = Math.sqrt([...g.a, ...g.b].reduce((sum, x) => sum + x * x, 0));
    const factor = Math.min(1, maxNorm / (norm + 1e-6));
    for (const name of ['a', 'b'] as const) {
      for (let i = 0; i < p[name].length; i++) {
        const x = g[name][i]! * factor;
        m[name][i] = 0.9 * m[name][i] + 0.1 * x;
        v[name][i] = 0.999 * v[name][i] + 0.001 * x * x;
        const move =
          m[name][i] / (1 - 0.9 ** k) / (Math.sqrt(v[name][i] / (1 - 0.999 ** k)) + 1e-8);
        p[name][i] = p[name][i]! * (1 - 1e-3 * weightDecay) - 1e-3 * move;
      }
    }
  }
  return p;
}

function runStep(optimizer: AdamW, step: number) {
  const grads = asTensors(step);
  const clipped = clipByGlobalNorm(grads, 1);
  optimizer.step(clipped.grads, 1e-3);
  tf.dispose([grads, clipped.grads, clipped.norm] as tf.TensorContainer);
}

describeBackends('AdamW', () => {
  it('three clipped updates follow the formulas in float64', async () => {
    const params = parameters();
    const optimizer = new AdamW(params);
    for (let step = 1; step <= 3; step++) runStep(optimizer, step);
    const expected = reference(3);
    for (const { name, variable } of params) {
      const actual = await variable.data();
      const e = expected[name as 'a' | 'b'];
      // A missing clip or decay moves a value by 3e-6 to 4e-5; float32 rounding by 1e-7.
      expectClose(actual, e, { abs: 3e-7 });
      const noDecay = reference(3, { weightDecay: 0 })[name as 'a' | 'b'];
      expect(Math.max(...e.map((x, i) => Math.abs(x - noDecay[i]!)))).toBeGreaterThan(1e-5);
    }
    optimizer.dispose();
    tf.dispose(params.map(({ variable }) => variable));
  });

  it('a run that was stopped and restored ends where an unbroken one does', async () => {
    const [whole, broken] = [parameters(), parameters()];
    const optimizer = new AdamW(whole);
    for (let step = 1; step <= 4; step++) runStep(optimizer, step);
    const before = new AdamW(broken);
    for (let step = 1; step <= 2; step++) runStep(before, step);
    const state = before.state();
    before.dispose();
    expect(state.steps).toEqual({ a: 2, b: 2 });
    const after = new AdamW(broken);
    after.restore(state);
    tf.dispose(state.tensors);
    for (let step = 3; step <= 4; step++) runStep(after, step);
    for (const [i, { variable }] of whole.entries()) {
      expect(await broken[i]!.variable.data()).toEqual(await variable.data());
    }
    optimizer.dispose();
    after.dispose();
    tf.dispose([...whole, ...broken].map(({ variable }) => variable));
  });

  it('parameters of one shape are updated together, to the bits that each has alone', async () => {
    const shapes = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, [3, 4]]));
    const build = (names: string[]) =>
      names.map((name) => ({
        name,
        variable: tf.tidy(() => tf.variable(tf.tensor(gaussian(12, name.charCodeAt(0)), [3, 4]))),
      }));
    const run = (params: ReturnType<typeof build>) => {
      const optimizer = new AdamW(params);
      for (let step = 1; step <= 3; step++) {
        tf.tidy(() => {
          // c rests at first, so that counts differ.
          const moved = params.filter(({ name }) => step > 1 || name !== 'c');
          const grads = moved.map(({ name }) => [
            name,
            tf.tensor(gaussian(12, 100 * step + name.charCodeAt(0)), shapes[name]),
          ]);
          optimizer.step(Object.fromEntries(grads), 1e-2);
        });
      }
      optimizer.dispose();
    };
    const together = build(['a', 'b', 'c']);
    run(together);
    for (const { name, variable } of together) {
      const [alone] = build([name]);
      run([alone!]);
      expect(await variable.data()).toEqual(await alone!.variable.data());
      tf.dispose([variable, alone!.variable]);
    }
  });

  it('a parameter without a gradient keeps its value, decay included', async () => {
    const params = parameters();
    const optimizer = new AdamW(params);
    const grad = tf.ones([3, 4]);
    optimizer.step({ a: grad }, 1e-2);
    expect(await params[1]!.variable.data()).toEqual(gaussian(5, 2));
    expect(tf.tidy(() => optimizer.state().steps as never)).toEqual({ a: 1 });
    optimizer.dispose();
    tf.dispose([grad, ...params.map(({ variable }) => variable)]);
  });

  it('descends to the minimum of a quadratic, inside a tidy too', async () => {
    const x = tf.tidy(() => tf.variable(tf.tensor1d([3, -2])));
    const parameter = [{ name: 'x', variable: x }];
    const optimizer = new AdamW(parameter, { weightDecay: 0 });
    for (let step = 0; step < 300; step++) {
      tf.tidy(() => {
        const loss = () => tf.sum(tf.squaredDifference(x, tf.tensor1d([1, 1]))) as tf.Scalar;
        optimizer.step(valueAndGrads(loss, parameter).grads, 0.1 * (1 - step / 300));
      });
    }
    expectClose(await x.data(), [1, 1], { abs: 1e-3 }); // the last steps are of size 3e-4
    optimizer.dispose();
    x.dispose();
  });

  it('refuses strangers, wrong shapes and rates out of range', () => {
    const params = parameters();
    const optimizer = new AdamW(params);
    const grad = tf.ones([5]);
    expect(() => optimizer.step({ c: grad }, 1)).toThrow(/names must be those.*got c/);
    expect(() => optimizer.step({ a: grad }, 1)).toThrow(/a must have shape \[3,4\], got \[5\]/);
    expect(() => optimizer.step({ b: grad }, Number.NaN)).toThrow(/lr must be >= 0, got lr=NaN/);
    expect(() => optimizer.restore({ steps: { b: 1 }, tensors: {} })).toThrow(/got nothing/);
    expect(() => new AdamW([...params, params[0]!])).toThrow(/names must differ/);
    expect(() => new AdamW(params, { beta1: 1 })).toThrow(/beta1 must be in \[0, 1\), got beta1=1/);
    expect(() => new AdamW(params, { epsilon: -1 })).toThrow(/epsilon must be >= 0/);
    tf.dispose([grad, ...params.map(({ variable }) => variable)]);
  });

  it('leaves nothing behind', () =>
    expectNoLeak(() => {
      const params = parameters();
      const optimizer = new AdamW(params);
      runStep(optimizer, 1);
      runStep(optimizer, 2);
      const state = optimizer.state();
      optimizer.restore(state);
      tf.dispose(state.tensors);
      optimizer.dispose();
      tf.dispose(params.map(({ variable }) => variable));
    }));
});
