import type * as tf from '@tensorflow/tfjs-core';
import { unpackAffine } from './kernels/unpack-affine';
import { packedLayout } from './packed-layout';
import type { PackedTensor } from './packed-tensor';

/**
 * Restore the values: code * scale + zero, rounded once to f32 (the product is exact).
 * @param packed from `quantizeAffine` or `concatPacked`. Not disposed.
 * @returns float32 of the shape that was quantized, the caller disposes it.
 */
export function dequantizeAffine(packed: PackedTensor): tf.Tensor {
  return unpackAffine(packed.codes, packed.params, packedLayout('dequantizeAffine', packed));
}
