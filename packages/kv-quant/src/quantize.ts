/** One entrance for all methods; each is a kernel of its own. */
import type * as tf from '@tensorflow/tfjs-core';
import { packAffine } from './kernels/pack-affine';
import { packHalf } from './kernels/pack-half';
import { packHqq } from './kernels/pack-hqq';
import { packInt8 } from './kernels/pack-int8';
import { packLloydMax } from './kernels/pack-lloyd-max';
import { packStatic } from './kernels/pack-static';
import { type PackedLayout, packedLayout } from './packed-layout';
import { PackedTensor } from './packed-tensor';
import type { QuantSpec } from './quant-spec';

const PACK: Record<QuantSpec['method'], (x: tf.Tensor, layout: PackedLayout) => tf.Tensor[]> = {
  affine: packAffine,
  hqq: packHqq,
  'lloyd-max': packLloydMax,
  int8: packInt8,
  half: packHalf,
  static: packStatic,
};

/**
 * Pack vectors.
 * @param x float32 [..., T, C] (or [C], where no groups of tokens are asked for), any sizes, also 0.
 * Not disposed.
 * @param spec the method and its settings.
 * @returns the packed tensor, the caller disposes it. A group with a NaN or an infinity comes back
 * as NaN; halves keep both, each alone. What the halves of a format, or a static table, cannot reach
 * saturates.
 * @throws RangeError for a bad spec or a scalar, or, but for webgpu, a NaN or an infinity where scales are static.
 * @throws TypeError if x is not float32.
 */
export function quantize(x: tf.Tensor, spec: QuantSpec): PackedTensor {
  const layout = packedLayout('quantize', spec, x.shape);
  if (x.dtype !== 'float32') {
    throw new TypeError(`quantize: x must be float32, got ${x.dtype}. Cast it first.`);
  }
  const [codes, params] = PACK[spec.method](x, layout);
  return new PackedTensor([...x.shape], { ...spec }, codes!, params);
}
