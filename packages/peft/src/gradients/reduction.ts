/** Gradients of the operations that reduce axes, and of softmax. */
import * as tf from '@tensorflow/tfjs-core';

type Axis = number | number[] | null;

export const reductionGradients: tf.GradConfig[] = [
  {
    kernelName: tf.Sum,
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attrs) => ({
      x: () => spread(dy as tf.Tensor, x!.shape, attrs.axis as Axis),
    }),
  },
  {
    kernelName: tf.Mean,
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attrs) => ({
      x: () => {
        const scaled = tf.mul(dy as tf.Tensor, (dy as tf.Tensor).size / x!.size);
        return spread(scaled, x!.shape, attrs.axis as Axis);
      },
    }),
  },
  extremum(tf.Max, 'reductionIndices'),
  extremum(tf.Min, 'axis'),
  {
    kernelName: tf.Softmax,
    outputsToSave: [true],
    gradFunc: (dy, [y], attrs) => ({
      logits: () => {
        const dyTimesY = tf.mul(dy as tf.Tensor, y!);
        return tf.sub(dyTimesY, tf.mul(tf.sum(dyTimesY, attrs.dim as number, true), y!));
      },
    }),
  },
];

/** Every element that equals the extremum gets the gradient, ties included. */
function extremum(kernelName: string, axisAttribute: string): tf.GradConfig {
  return {
    kernelName,
    inputsToSave: ['x'],
    outputsToSave: [true],
    gradFunc: (dy, saved, attrs) => ({
      x: () => {
        const [x, y] = saved as [tf.Tensor, tf.Tensor];
        const kept = keptShape(x.shape, attrs[axisAttribute] as Axis);
        const hit = tf.cast(tf.equal(x, tf.reshape(y, kept)), 'float32');
        return tf.mul(tf.reshape(dy as tf.Tensor, kept), hit);
      },
    }),
  };
}

function spread(dy: tf.Tensor, shape: number[], axis: Axis): tf.Tensor {
  return tf.mul(tf.reshape(dy, keptShape(shape, axis)), tf.ones(shape));
}

function keptShape(shape: number[], axis: Axis): number[] {
  const axes = tf.util.parseAxisParam(axis as number | number[], shape);
  return shape.map((size, i) => (axes.includes(i) ? 1 : size));
}
