import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { registerGradients } from './register-gradients';

type Case = [name: string, shape: number[], f: (x: tf.Tensor) => tf.Tensor, shift?: number];

const other = (...shape: number[]) => tf.tensor(gaussian(size(shape), 99), shape);
const size = (shape: number[]) => shape.reduce((product, n) => product * n, 1);

/** Each case holds the kernel it is named after; `shift` moves the input into the kernel's domain. */
const CASES: Case[] = [
  ['Add, broadcast', [3], (x) => tf.add(other(2, 3), x)],
  ['Add, broadcast inner axis', [2, 1], (x) => tf.add(x, other(2, 3))],
  ['Sub', [2, 3], (x) => tf.sub(other(3), x)],
  ['Multiply by itself', [2, 3], (x) => tf.mul(x, x)],
  ['Multiply, broadcast', [1, 3], (x) => tf.mul(other(2, 3), x)],
  ['RealDiv, numerator', [2, 3], (x) => tf.div(x, tf.add(tf.square(other(2, 3)), 1))],
  ['RealDiv, denominator', [3], (x) => tf.div(other(2, 3), x), 4],
  ['SquaredDifference', [2, 3], (x) => tf.squaredDifference(x, other(3))],
  ['SquaredDifference, second', [3], (x) => tf.squaredDifference(other(2, 3), x)],
  ['Maximum', [2, 3], (x) => tf.maximum(x, other(2, 3))],
  ['Minimum', [2, 3], (x) => tf.minimum(other(2, 3), x)],
  ['Pow, base', [2, 3], (x) => tf.pow(x, tf.scalar(1.5)), 4],
  ['Pow, exponent', [2, 3], (x) => tf.pow(tf.scalar(1.5), x)],
  ['AddN', [2, 3], (x) => tf.addN([x, other(2, 3), x])],
  ['Abs', [2, 3], (x) => tf.abs(x)],
  ['Erf', [2, 3], (x) => tf.erf(x)],
  ['Exp', [2, 3], (x) => tf.exp(x)],
  ['Log', [2, 3], (x) => tf.log(x), 4],
  ['Log1p', [2, 3], (x) => tf.log1p(x), 4],
  ['Neg', [2, 3], (x) => tf.neg(x)],
  ['Reciprocal', [2, 3], (x) => tf.reciprocal(x), 4],
  ['Relu', [2, 3], (x) => tf.relu(x)],
  ['Rsqrt', [2, 3], (x) => tf.rsqrt(x), 4],
  ['Sigmoid', [2, 3], (x) => tf.sigmoid(x)],
  ['Softplus', [2, 3], (x) => tf.softplus(x)],
  ['Sqrt', [2, 3], (x) => tf.sqrt(x), 4],
  ['Square', [2, 3], (x) => tf.square(x)],
  ['Tanh', [2, 3], (x) => tf.tanh(x)],
  ['Cast and Identity', [2, 3], (x) => tf.clone(tf.cast(x, 'float32'))],
  ['ClipByValue', [2, 3], (x) => tf.clipByValue(x, -0.5, 0.5)],
  ['Sum over an axis', [2, 3, 4], (x) => tf.sum(x, 1)],
  ['Sum over the last axis, kept', [2, 3, 4], (x) => tf.sum(x, -1, true)],
  ['Sum over all', [2, 3], (x) => tf.sum(x)],
  ['Mean', [2, 3, 4], (x) => tf.mean(x, -1, true)],
  ['Mean over all', [2, 3], (x) => tf.mean(x)],
  ['Max', [2, 3], (x) => tf.max(x, -1)],
  ['Min', [2, 3], (x) => tf.min(x, 0, true)],
  ['Softmax', [2, 3], (x) => tf.softmax(x)],
  ['LogSoftmax', [2, 3], (x) => tf.logSoftmax(x)],
  ['LogSumExp', [2, 3], (x) => tf.logSumExp(x, -1)],
  ['Reshape', [2, 3], (x) => tf.reshape(x, [3, 2])],
  ['ExpandDims', [2, 3], (x) => tf.expandDims(x, 1)],
  ['Squeeze', [2, 1, 3], (x) => tf.squeeze(x, [1])],
  ['Transpose', [2, 3, 4], (x) => tf.transpose(x, [2, 0, 1])],
  ['Concat', [2, 3], (x) => tf.concat([other(2, 2), x, x], -1)],
  ['SplitV, one part used', [2, 4], (x) => tf.split(x, [1, 3], -1)[1]!],
  ['SplitV, one part made', [2, 4], (x) => tf.split(x, 1, -1)[0]!],
  ['Pack', [2, 3], (x) => tf.stack([x, other(2, 3)], 1)],
  ['Pack, last axis', [2, 3], (x) => tf.stack([other(2, 3), x], -1)],
  ['Unpack', [2, 3], (x) => tf.mul(tf.unstack(x, 1)[2]!, tf.unstack(x, 1)[0]!)],
  ['Tile', [2, 3], (x) => tf.tile(x, [2, 3])],
  ['BroadcastTo', [2, 1, 3], (x) => tf.broadcastTo(x, [2, 4, 3])],
  ['Slice', [3, 4], (x) => tf.slice(x, [1, 0], [2, -1])],
  [
    'PadV2',
    [2, 3],
    (x) =>
      tf.pad(x, [
        [1, 0],
        [2, 1],
      ]),
  ],
  ['StridedSlice', [5, 7], (x) => tf.stridedSlice(x, [1, 0], [5, 6], [2, 3])],
  ['StridedSlice, a step of the end', [2, 7], (x) => tf.stridedSlice(x, [0, 1], [2, 7], [1, 2])],
  [
    'StridedSlice, shrunk axis',
    [3, 4],
    (x) => tf.stridedSlice(x, [1, 1], [2, 4], [1, 1], 0, 0, 0, 0, 1),
  ],
  ['Select, first', [2, 3], (x) => tf.where(tf.greater(other(2, 3), 0), x, other(2, 3))],
  ['Select, second', [2, 3], (x) => tf.where(tf.greater(other(2, 3), 0), other(2, 3), x)],
  ['GatherV2, rows, one twice', [4, 3], (x) => tf.gather(x, tf.tensor1d([2, 0, 2], 'int32'))],
  [
    'GatherV2, inner axis, 2-D index',
    [2, 4, 3],
    (x) =>
      tf.gather(
        x,
        tf.tensor2d(
          [
            [3, 1],
            [3, 3],
          ],
          [2, 2],
          'int32',
        ),
        1,
      ),
  ],
  ['BatchMatMul, left', [2, 3], (x) => tf.matMul(x, other(3, 4))],
  ['BatchMatMul, right', [3, 4], (x) => tf.matMul(other(2, 3), x)],
  ['BatchMatMul, left transposed', [3, 2], (x) => tf.matMul(x, other(3, 4), true)],
  ['BatchMatMul, right of a wide one', [4, 3], (x) => tf.matMul(other(2, 4), x)],
  [
    'BatchMatMul, right transposed of a wide one',
    [2, 3],
    (x) => tf.matMul(other(3, 4), x, true, true),
  ],
  ['BatchMatMul, right transposed', [4, 3], (x) => tf.matMul(other(2, 3), x, false, true)],
  ['BatchMatMul, both transposed, left', [3, 2], (x) => tf.matMul(x, other(4, 3), true, true)],
  ['BatchMatMul, both transposed, right', [4, 3], (x) => tf.matMul(other(3, 2), x, true, true)],
  ['BatchMatMul, left transposed, right', [3, 4], (x) => tf.matMul(other(3, 2), x, true)],
  ['BatchMatMul, right transposed, left', [2, 3], (x) => tf.matMul(x, other(4, 3), false, true)],
  ['BatchMatMul, batch broadcast, left', [1, 2, 3], (x) => tf.matMul(x, other(5, 3, 4))],
  ['BatchMatMul, batch broadcast, right', [1, 5, 3, 4], (x) => tf.matMul(other(2, 5, 2, 3), x)],
];

describeBackends('registerGradients', () => {
  it('makes the gradient of a matrix product known', () => {
    registerGradients();
    registerGradients();
    expect(tf.getGradient('BatchMatMul')).toBeDefined();
  });

  it.each(CASES)('gradient of %s is the finite difference', async (_name, shape, f, shift = 0) => {
    registerGradients();
    const start = gaussian(size(shape), 7).map((value) => value + shift);
    const out = tf.tidy(() => f(tf.tensor(start, shape)));
    const weights = gaussian(out.size, 5);
    const loss = (x: tf.Tensor) => tf.sum(tf.mul(f(x), tf.tensor(weights, out.shape))) as tf.Scalar;
    const gradient = tf.tidy(() => tf.grad(loss)(tf.tensor(start, shape)));
    expect(gradient.shape).toEqual(shape);
    const h = 1e-2;
    const differences = start.map((value, i) => {
      const at = (move: number) => {
        const moved = start.slice();
        moved[i] = value + move;
        return tf.tidy(() => loss(tf.tensor(moved, shape)).dataSync()[0]!);
      };
      return (at(h) - at(-h)) / (2 * h);
    });
    // Central differences in float32 at h = 1e-2: h^2 of the third derivative, 1e-7 / h of rounding.
    expectClose(await gradient.data(), differences, { abs: 1e-3, rel: 2e-3 });
    tf.dispose([out, gradient]);
  });

  it('a product over no rows has gradients of zero', async () => {
    registerGradients();
    const [x, w] = [tf.zeros([0, 3]), tf.ones([3, 4])];
    const loss = (w: tf.Tensor) => tf.sum(tf.concat([tf.matMul(x, w), tf.ones([1, 4])], 0));
    const gradient = tf.grad(loss)(w);
    expectClose(await gradient.data(), new Float32Array(12), { abs: 0 });
    tf.dispose([x, w, gradient]);
  });

  it('leaves nothing behind', () =>
    expectNoLeak(() => {
      registerGradients();
      const x = tf.tensor2d(gaussian(6, 1), [2, 3]);
      tf.dispose([x, tf.grad((x) => tf.sum(tf.matMul(x, x, false, true)))(x)]);
    }));

  it('names what it does not differentiate', () => {
    registerGradients();
    const x = tf.ones([2, 3]);
    const reversed = (x: tf.Tensor) => tf.stridedSlice(x, [1, 2], [0, 0], [-1, -1]);
    expect(() => tf.grad(reversed)(x)).toThrow(/strides must be positive, got strides=\[-1,-1\]/);
    const index = tf.zeros([2, 1], 'int32');
    // Asked directly: the forward kernel of wasm fails on its own for some batched indices.
    const { gradFunc } = tf.getGradient('GatherV2');
    const gradient = gradFunc(x, [x, index], { axis: 1, batchDims: 1 });
    expect(() => gradient.x!()).toThrow(/batchDims must be 0, got batchDims=1/);
    tf.dispose([x, index]);
  });
});
