/** Parts and other shapes of tensors, without the copy that tfjs makes of one that is so already. */
import * as tf from '@tensorflow/tfjs-core';
import { isTensorFlowOnProcessor } from '../kernels/host-backends';
import { takesHostVectors } from '../kernels/host-vectors';

/** Values that are copied in less time than TensorFlow's library takes to begin an op. */
const MOST_COPIED = 16384;

/** A slice; x itself where that is all of it. */
export function part(x: tf.Tensor, begin: number[], size: number[]): tf.Tensor {
  return tf.util.arraysEqual(x.shape, size) ? x : tf.slice(x, begin, size);
}

/** x in another shape; x itself where it has that shape. */
export function reshaped(x: tf.Tensor, shape: number[]): tf.Tensor {
  if (tf.util.arraysEqual(x.shape, shape)) return x;
  if (isTensorFlowOnProcessor() && takesHostVectors(x.size, MOST_COPIED)) {
    return tf.tensor(x.dataSync(), shape, x.dtype);
  }
  return tf.reshape(x, shape);
}

/** Tokens [B, L, W] as rows [B * L, W], so that the maps that follow need not make them each. */
export function rowsOf(x: tf.Tensor3D): tf.Tensor2D {
  const [batch, length, width] = x.shape;
  return tf.reshape(x, [batch * length, width]);
}

/** Rows [B * L, W] as the tokens [B, L, W] of x [B, L, D]. */
export function tokensLike({ shape: [batch, length] }: tf.Tensor3D, rows: tf.Tensor): tf.Tensor3D {
  return tf.reshape(rows, [batch, length, -1]);
}
