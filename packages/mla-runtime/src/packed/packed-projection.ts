/** A frozen projection whose weight stays packed; its gradient reaches x only. */
import * as tf from '@tensorflow/tfjs-core';
import { reshaped } from '../attention/views';
import { stackedMatMul } from '../kernels/stacked-mat-mul';
import type { Projection } from '../projection';
import type { PackedMatrix } from './packed-matrix';

export interface PackedProjection extends Projection {
  readonly matrix: PackedMatrix;
}

/** @param matrix [outputs, inputs], which the projection owns from then on, as it does the bias. */
export function packedProjection(matrix: PackedMatrix, bias?: tf.Tensor1D): PackedProjection {
  const { inputs, outputs } = matrix;
  const weight = () =>
    tf.tidy(() => {
      const all = Int32Array.from({ length: outputs }, (_, row) => row);
      return tf.transpose(matrix.rows(all)) as tf.Tensor2D; // [I, O]
    });
  const multiply = tf.customGrad((x) => ({
    value: matrix.multiply(x as tf.Tensor2D),
    gradFunc: (dy: tf.Tensor) => stackedMatMul(dy, weight(), false, true),
  }));
  return {
    matrix,
    inFeatures: inputs,
    outFeatures: outputs,
    ...(bias && { bias }),
    apply: (x) => {
      if (x.shape.at(-1) !== inputs) {
        throw new RangeError(
          `packedProjection: the last dimension of x must be ${inputs}, got x=[${x.shape}].`,
        );
      }
      const shape = [...x.shape.slice(0, -1), outputs];
      if (x.size === 0) return tf.zeros(shape);
      return tf.tidy(() => {
        const product = reshaped(multiply(reshaped(x, [x.size / inputs, inputs])), shape);
        return bias ? tf.add(product, bias) : product;
      });
    },
    weight,
    dispose: () => {
      matrix.dispose();
      bias?.dispose();
    },
  };
}

export function isPacked(projection: Projection): projection is PackedProjection {
  return 'matrix' in projection;
}
