/** Gradients of the operations that move or repeat elements. */
import * as tf from '@tensorflow/tfjs-core';

export const shapeGradients: tf.GradConfig[] = [
  {
    kernelName: tf.Reshape,
    inputsToSave: ['x'],
    gradFunc: (dy, [x]) => ({ x: () => tf.reshape(dy as tf.Tensor, x!.shape) }),
  },
  {
    kernelName: tf.ExpandDims,
    inputsToSave: ['input'],
    gradFunc: (dy, [input]) => ({ input: () => tf.reshape(dy as tf.Tensor, input!.shape) }),
  },
  {
    kernelName: tf.Transpose,
    gradFunc: (dy, _saved, attrs) => {
      const undo: number[] = [];
      (attrs.perm as number[]).forEach((from, to) => {
        undo[from] = to;
      });
      return { x: () => tf.transpose(dy as tf.Tensor, undo) };
    },
  },
  {
    kernelName: tf.Concat,
    saveAllInputs: true,
    gradFunc: (dy, saved, attrs) => {
      const axis = tf.util.parseAxisParam(attrs.axis as number, saved[0]!.shape)[0]!;
      const sizes = saved.map((t) => t.shape[axis]!);
      const begins = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, 0));
      // A slice an input, so that an input that needs no gradient costs nothing.
      const part = (i: number) => () => {
        const begin = saved[i]!.shape.map((_, dim) => (dim === axis ? begins[i]! : 0));
        return tf.slice(dy as tf.Tensor, begin, saved[i]!.shape);
      };
      return Object.fromEntries(saved.map((_, i) => [i, part(i)]));
    },
  },
  {
    kernelName: tf.SplitV,
    gradFunc: (dy, _saved, attrs) => ({ x: () => tf.concat(asList(dy), attrs.axis as number) }),
  },
  {
    kernelName: tf.Pack,
    saveAllInputs: true,
    gradFunc: (dy, saved, attrs) => {
      const axis = tf.util.parseAxisParam(attrs.axis as number, (dy as tf.Tensor).shape)[0]!;
      const part = (i: number) => () => {
        const begin = (dy as tf.Tensor).shape.map((_, dim) => (dim === axis ? i : 0));
        const size = (dy as tf.Tensor).shape.map((full, dim) => (dim === axis ? 1 : full));
        return tf.reshape(tf.slice(dy as tf.Tensor, begin, size), saved[i]!.shape);
      };
      return Object.fromEntries(saved.map((_, i) => [i, part(i)]));
    },
  },
  {
    kernelName: tf.Unpack,
    gradFunc: (dy, _saved, attrs) => ({ value: () => tf.stack(asList(dy), attrs.axis as number) }),
  },
  {
    kernelName: tf.Tile,
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attrs) => ({
      x: () => sumTiles(dy as tf.Tensor, x!.shape, attrs.reps as number[]),
    }),
  },
];

/** The engine hands a single tensor over where a kernel of several outputs had only one. */
function asList(dy: tf.Tensor | tf.Tensor[]): tf.Tensor[] {
  return Array.isArray(dy) ? dy : [dy];
}

function sumTiles(dy: tf.Tensor, shape: number[], reps: number[]): tf.Tensor {
  const split: number[] = []; // [reps, size] for each repeated axis, [size] for the others
  const axes: number[] = [];
  shape.forEach((size, i) => {
    if (reps[i]! > 1) {
      axes.push(split.length);
      split.push(reps[i]!);
    }
    split.push(size);
  });
  return tf.reshape(tf.sum(tf.reshape(dy, split), axes), shape);
}
