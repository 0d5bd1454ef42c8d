/**
 * Affine quantization of each token's channels, in groups (KIVI, arXiv 2402.02750, its layout for
 * values): zero = min, scale = (max - min) / (2^bits - 1), code = round((x - zero) / scale).
 * Scale and zero point are stored as f16 and codes are computed against the stored ones. The zero
 * point is rounded down and the scale up, so that the codes still span the data; with both rounded
 * to nearest the extremes of a group would be cut off.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { packAffine } from './kernels/pack-affine';
import { type PackOptions, packedLayout } from './packed-layout';
import { PackedTensor } from './packed-tensor';

/**
 * Quantize along the last axis.
 * @param x float32 [..., channels], any sizes, also 0. Not disposed.
 * @param options bits 4 or 8; 16 stores IEEE half precision, rounded to nearest, ties to even.
 * @returns the packed tensor, the caller disposes it. A group with a NaN or an infinity comes back
 * as NaN; values that f16 cannot reach saturate (at 16 bits at +-65504, infinities stay).
 * @throws RangeError if bits is none of the three, groupSize no positive integer, or x a scalar.
 * @throws TypeError if x is not float32.
 */
export function quantizeAffine(x: tf.Tensor, options: PackOptions): PackedTensor {
  if (x.rank === 0) {
    throw new RangeError('quantizeAffine: x must have an axis of channels, got a scalar.');
  }
  if (x.dtype !== 'float32') {
    throw new TypeError(`quantizeAffine: x must be float32, got ${x.dtype}. Cast it first.`);
  }
  const layout = packedLayout('quantizeAffine', { ...options, channels: x.shape.at(-1)! });
  const [codes, params] = packAffine(x, layout);
  return new PackedTensor([...x.shape], layout, codes!, params);
}
