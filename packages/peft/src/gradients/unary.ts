/** Gradients of the elementwise operations of one input x. */
import * as tf from '@tensorflow/tfjs-core';

type Derivative = (dy: tf.Tensor, saved: tf.Tensor) => tf.Tensor;

/** Kernels whose derivative is written in the input x. */
const byInput: [string, Derivative][] = [
  [tf.Abs, (dy, x) => tf.mul(dy, tf.sign(x))],
  [tf.Erf, (dy, x) => tf.mul(dy, tf.mul(2 / Math.sqrt(Math.PI), tf.exp(tf.neg(tf.square(x)))))],
  [tf.Log, (dy, x) => tf.div(dy, x)],
  [tf.Log1p, (dy, x) => tf.div(dy, tf.add(x, 1))],
  [tf.Relu, (dy, x) => tf.mul(dy, tf.step(x))],
  [tf.Softplus, (dy, x) => tf.mul(dy, tf.sigmoid(x))],
  [tf.Square, (dy, x) => tf.mul(dy, tf.mul(2, x))],
];

/** Kernels whose derivative is written in the output y. */
const byOutput: [string, Derivative][] = [
  [tf.Exp, (dy, y) => tf.mul(dy, y)],
  [tf.Reciprocal, (dy, y) => tf.neg(tf.mul(dy, tf.square(y)))],
  // d x^(-1/2) = -1/2 x^(-3/2) = -1/2 y^3
  [tf.Rsqrt, (dy, y) => tf.mul(tf.mul(dy, -0.5), tf.mul(y, tf.square(y)))],
  [tf.Sigmoid, (dy, y) => tf.mul(dy, tf.mul(y, tf.sub(1, y)))],
  [tf.Sqrt, (dy, y) => tf.div(dy, tf.mul(2, y))],
  [tf.Tanh, (dy, y) => tf.mul(dy, tf.sub(1, tf.square(y)))],
];

/** Kernels whose gradient needs nothing saved. */
const linear: [string, (dy: tf.Tensor) => tf.Tensor][] = [
  [tf.Cast, (dy) => tf.cast(dy, 'float32')],
  [tf.Identity, (dy) => tf.cast(dy, 'float32')],
  [tf.Neg, (dy) => tf.neg(dy)],
  // Piecewise constant.
  [tf.Sign, (dy) => tf.zerosLike(dy)],
  [tf.Step, (dy) => tf.zerosLike(dy)],
  [tf.ZerosLike, (dy) => tf.zerosLike(dy)],
  [tf.OnesLike, (dy) => tf.zerosLike(dy)],
];

export const unaryGradients: tf.GradConfig[] = [
  ...byInput.map(
    ([kernelName, derivative]): tf.GradConfig => ({
      kernelName,
      inputsToSave: ['x'],
      gradFunc: (dy, saved) => ({ x: () => derivative(dy as tf.Tensor, saved[0]!) }),
    }),
  ),
  ...byOutput.map(
    ([kernelName, derivative]): tf.GradConfig => ({
      kernelName,
      outputsToSave: [true],
      gradFunc: (dy, saved) => ({ x: () => derivative(dy as tf.Tensor, saved[0]!) }),
    }),
  ),
  ...linear.map(
    ([kernelName, derivative]): tf.GradConfig => ({
      kernelName,
      gradFunc: (dy) => ({ x: () => derivative(dy as tf.Tensor) }),
    }),
  ),
  {
    kernelName: tf.ClipByValue,
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attrs) => {
      const { clipValueMin, clipValueMax } = attrs as unknown as tf.ClipByValueAttrs;
      const inside = () =>
        tf.logicalAnd(tf.greaterEqual(x!, clipValueMin), tf.lessEqual(x!, clipValueMax));
      return { x: () => tf.mul(dy as tf.Tensor, tf.cast(inside(), 'float32')) };
    },
  },
];
