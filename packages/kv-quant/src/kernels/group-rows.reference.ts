/** Values as rows that groups run along, in composed ops. */
import * as tf from '@tensorflow/tfjs-core';
import type { PackedLayout } from '../packed-layout';

/**
 * @param x float32 [..., T, C].
 * @returns rows [N, C], or [N, T] where groups are of tokens; `restore` takes rows of the first form
 * or of their groups, int32 too, to the order of the packed form.
 */
export function toGroupRows(x: tf.Tensor, { axis, channels, tokens }: PackedLayout) {
  if (axis === 'token') {
    return { rows: tf.reshape(x, [-1, channels]) as tf.Tensor2D, restore: (y: tf.Tensor) => y };
  }
  const turn = (y: tf.Tensor, width: number) =>
    tf.transpose(
      tf.reshape(y, [-1, width, y.size / ((x.size / (tokens * channels)) * width)]),
      [0, 2, 1],
    );
  return {
    rows: tf.reshape(turn(x, tokens), [-1, tokens]) as tf.Tensor2D, // [..., C, T]
    restore: (y: tf.Tensor) => turn(y, channels),
  };
}

/** Place to group, int32 [width]. */
export function groupOf(width: number, groupSize: number): tf.Tensor1D {
  const groups = Int32Array.from({ length: width }, (_, i) => Math.floor(i / groupSize));
  return tf.tensor1d(groups, 'int32');
}

/** Reduce the last axis of each group, the shorter last one apart: [N, W] to [N, groups]. */
export function perGroup(
  rows: tf.Tensor2D,
  groupSize: number,
  reduce: (x: tf.Tensor) => tf.Tensor,
): tf.Tensor {
  const [count, width] = rows.shape;
  const whole = Math.floor(width / groupSize);
  const parts: tf.Tensor[] = [];
  if (whole > 0) {
    const full = tf.slice(rows, [0, 0], [count, whole * groupSize]);
    parts.push(reduce(tf.reshape(full, [count, whole, groupSize])));
  }
  if (whole * groupSize < width) {
    const rest = tf.slice(rows, [0, whole * groupSize], [count, width - whole * groupSize]);
    parts.push(reduce(tf.reshape(rest, [count, 1, -1])));
  }
  return tf.concat(parts, 1);
}
