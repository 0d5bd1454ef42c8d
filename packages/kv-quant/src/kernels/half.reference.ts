/**
 * The composed twins of `PackHalf` and `UnpackHalf`, equal to the bit, except that NaNs lose their
 * payload and -0 its sign in packing.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type PackedLayout, packedShapes } from '../packed-layout';
import { joinCodes, splitCodes } from './code-words.reference';
import { nearestHalves, valuesOfHalves } from './half-float.reference';

/** @returns int32 [..., T, words]. */
export function packHalfReference(x: tf.Tensor, layout: PackedLayout): tf.Tensor {
  const [shape] = packedShapes(x.shape, layout);
  if (x.size === 0) return tf.zeros(shape!, 'int32');
  return tf.reshape(joinCodes(nearestHalves(tf.reshape(x, [-1, layout.channels])), 16), shape!);
}

/** @returns float32 [..., T, C]. */
export function unpackHalfReference(
  codes: tf.Tensor,
  { channels, words }: PackedLayout,
): tf.Tensor {
  const shape = [...codes.shape.slice(0, -1), channels];
  if (tf.util.sizeFromShape(shape) === 0) return tf.zeros(shape);
  const halves = splitCodes(tf.reshape(codes, [-1, words]), channels, 16);
  return tf.reshape(valuesOfHalves(halves), shape);
}
