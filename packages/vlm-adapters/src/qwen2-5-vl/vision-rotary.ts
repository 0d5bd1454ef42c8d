/**
 * Rotary embedding in two dimensions: the first half of a head's pairs turns with a patch's row,
 * the second with its column. A pair is (i, i + dim / 2).
 */
import { applyRotary, type RotaryTable } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';

/**
 * @param coordinates [T * 2] row and column of each patch.
 * @param frequencies [dim / 4] of rows and columns alike.
 * @returns a table of one row, [1, T, dim / 2], that the caller disposes.
 */
export function visionAngles(coordinates: Int32Array, frequencies: Float32Array): RotaryTable {
  const [patches, quarter] = [coordinates.length / 2, frequencies.length];
  const half = 2 * quarter;
  const cos = new Float32Array(patches * half);
  const sin = new Float32Array(patches * half);
  for (let pair = 0; pair < half; pair++) {
    const frequency = frequencies[pair % quarter]!;
    const axis = pair < quarter ? 0 : 1;
    for (let patch = 0; patch < patches; patch++) {
      const angle = coordinates[2 * patch + axis]! * frequency;
      cos[patch * half + pair] = Math.cos(angle);
      sin[patch * half + pair] = Math.sin(angle);
    }
  }
  const shape: [number, number, number] = [1, patches, half];
  return { cos: tf.tensor3d(cos, shape), sin: tf.tensor3d(sin, shape) };
}

/** @param x [T, heads, dim]. @returns the same shape; the caller disposes it. */
export function rotateVision(x: tf.Tensor3D, table: RotaryTable): tf.Tensor3D {
  return tf.tidy(() => {
    const batched = tf.expandDims(x, 0) as tf.Tensor4D;
    return tf.squeeze(applyRotary(batched, table, undefined), [0]) as tf.Tensor3D;
  });
}
