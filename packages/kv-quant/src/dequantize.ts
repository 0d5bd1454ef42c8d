import type * as tf from '@tensorflow/tfjs-core';
import { unpackAffine } from './kernels/unpack-affine';
import { unpackHalf } from './kernels/unpack-half';
import { unpackInt8 } from './kernels/unpack-int8';
import { unpackLloydMax } from './kernels/unpack-lloyd-max';
import { unpackStatic } from './kernels/unpack-static';
import { packedLayout } from './packed-layout';
import type { PackedTensor } from './packed-tensor';
import type { QuantSpec } from './quant-spec';

/** HQQ differs in how scale and zero point are found, not in what is stored. */
const UNPACK: Record<QuantSpec['method'], typeof unpackAffine> = {
  affine: unpackAffine,
  hqq: unpackAffine,
  'lloyd-max': unpackLloydMax,
  int8: unpackInt8,
  half: unpackHalf,
  static: unpackStatic,
};

/**
 * Restore the values.
 * @param packed from `quantize`, `concatPacked` or `slicePacked`. Not disposed.
 * @returns float32 of the shape that was quantized, the caller disposes it.
 */
export function dequantize(packed: PackedTensor): tf.Tensor {
  const layout = packedLayout('dequantize', packed.spec, packed.shape);
  return UNPACK[packed.spec.method](packed, layout);
}
