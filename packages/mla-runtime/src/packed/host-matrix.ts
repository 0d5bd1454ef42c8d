import * as tf from '@tensorflow/tfjs-core';
import { isIntegerFormat, type PackedWeight, VALUES_A_WORD } from '../webgpu/weight-format';
import type { MatrixShape, PackedMatrix } from './packed-matrix';
import { unpackRows } from './unpack-rows';

/** Values unpacked at a time: 8 MiB of f32, more than any cache holds and little beside a model. */
const BLOCK = 2 ** 21;

/** A packed matrix in arrays; a product unpacks blocks of rows, one after another. */
export function hostMatrix(shape: MatrixShape): PackedMatrix {
  const { format, inputs, outputs, groupSize } = shape;
  const rowWords = Math.ceil(inputs / VALUES_A_WORD[format]);
  const rowScales = isIntegerFormat(format) ? Math.ceil(inputs / groupSize) : 0;
  let weight: PackedWeight | undefined = {
    ...shape,
    words: new Uint32Array(outputs * rowWords),
    scales: new Float32Array(outputs * rowScales),
  };
  const present = (): PackedWeight => {
    if (!weight) throw new Error('hostMatrix: the matrix must not be disposed, got one that is.');
    return weight;
  };
  return {
    ...shape,
    sizeBytes: 4 * outputs * (rowWords + rowScales),
    async write(first, rows) {
      present().words.set(rows.words, first * rowWords);
      present().scales.set(rows.scales, first * rowScales);
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
          return tf.matMul(block, columns);
        }),
      );
    }
    return tf.transpose(tf.concat(products, 0));
  });
}
