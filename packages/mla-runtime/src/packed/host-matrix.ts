import * as tf from '@tensorflow/tfjs-core';
import { stackedMatMul } from '../kernels/stacked-mat-mul';
import { type PackedWeight, rowSizes } from '../webgpu/weight-format';
import type { MatrixShape, PackedMatrix } from './packed-matrix';
import { unpackRows } from './unpack-rows';

/** Values unpacked at a time: 8 MiB of f32, more than any cache holds and little beside a model. */
const BLOCK = 2 ** 21;

/** A packed matrix in arrays; a product unpacks blocks of rows, one after another. */
export function hostMatrix(shape: MatrixShape): PackedMatrix {
  const { inputs, outputs } = shape;
  const row = rowSizes(shape);
  let weight: PackedWeight | undefined = {
    ...shape,
    words: new Uint32Array(outputs * row.words),
    scales: new Float32Array(outputs * row.scales),
  };
  const present = (): PackedWeight => {
    if (!weight) throw new Error('hostMatrix: the matrix must not be disposed, got one that is.');
    return weight;
  };
  return {
    ...shape,
    sizeBytes: 4 * outputs * (row.words + row.scales),
    async write(first, rows) {
      present().words.set(rows.words, first * row.words);
      present().scales.set(rows.scales, first * row.scales);
    },
    multiply: (x) => multiply(present(), x),
    rows: (ids) => tf.tensor2d(unpackRows(present(), ids), [ids.length, inputs]),
    dispose: () => {
      weight = undefined;
    },
  };
}

/** y = x Wᵀ as (W xᵀ)ᵀ: rows of W are then read as they lie, where wasm is fast. */
function multiply(weight: PackedWeight, x: tf.Tensor2D): tf.Tensor2D {
  const { inputs, outputs } = weight;
  const step = Math.max(1, Math.floor(BLOCK / inputs));
  return tf.tidy(() => {
    const columns = tf.transpose(x); // [I, M]
    const products: tf.Tensor2D[] = []; // [rows, M] each
    for (let first = 0; first < outputs; first += step) {
      const count = Math.min(step, outputs - first);
      const rows = Int32Array.from({ length: count }, (_, i) => first + i);
      products.push(
        tf.tidy(() => {
          const block = tf.tensor2d(unpackRows(weight, rows), [count, inputs]);
          return stackedMatMul(block, columns) as tf.Tensor2D;
        }),
      );
    }
    return tf.transpose(tf.concat(products, 0));
  });
}
