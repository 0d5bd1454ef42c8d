/** Gradients of the operations that choose elements by a condition or an index. */
import * as tf from '@tensorflow/tfjs-core';

export const selectionGradients: tf.GradConfig[] = [
  {
    kernelName: tf.Select,
    inputsToSave: ['condition'],
    gradFunc: (dy, [condition]) => ({
      t: () => tf.mul(dy as tf.Tensor, tf.cast(condition!, 'float32')),
      e: () => tf.mul(dy as tf.Tensor, tf.cast(tf.logicalNot(condition!), 'float32')),
    }),
  },
  {
    kernelName: tf.GatherV2,
    inputsToSave: ['x', 'indices'],
    gradFunc: (dy, [x, indices], attrs) => ({
      x: () => {
        const { axis, batchDims } = attrs as unknown as tf.GatherV2Attrs;
        if (batchDims !== 0) {
          throw new RangeError(
            `GatherV2 gradient: batchDims must be 0, got batchDims=${batchDims}. Flatten the batch into the index.`,
          );
        }
        return scatterRows(dy as tf.Tensor, x!, indices!, axis);
      },
    }),
  },
];

/** Sum the rows of `dy` that came from the same row of x. ScatterNd exists on every backend. */
function scatterRows(dy: tf.Tensor, x: tf.Tensor, indices: tf.Tensor, axis: number): tf.Tensor {
  const at = tf.util.parseAxisParam(axis, x.shape)[0]!;
  const before = x.shape.slice(0, at);
  const after = x.shape.slice(at + 1);
  const outer = before.reduce((product, n) => product * n, 1);
  const inner = after.reduce((product, n) => product * n, 1);
  const rows = x.shape[at]!;
  // [outer, I, inner] -> [I, outer * inner]
  const byIndex = tf.transpose(tf.reshape(dy, [outer, indices.size, inner]), [1, 0, 2]);
  const summed = tf.scatterND(
    tf.reshape(indices, [indices.size, 1]),
    tf.reshape(byIndex, [indices.size, outer * inner]),
    [rows, outer * inner],
  );
  const ordered = tf.transpose(tf.reshape(summed, [rows, outer, inner]), [1, 0, 2]);
  return tf.reshape(ordered, x.shape);
}
