/** The composed twin of `UnpackAffine`: the same values to the bit. */
import * as tf from '@tensorflow/tfjs-core';
import type { PackedLayout } from '../packed-layout';
import type { PackedTensor } from '../packed-tensor';
import { splitCodes } from './code-words.reference';
import { groupOf } from './group-rows.reference';
import { valuesOfHalves } from './half-float.reference';
import { splitHalfWords } from './half-words';

/** @returns float32 [..., T, C]. */
export function unpackAffineReference(
  { codes, params }: Pick<PackedTensor, 'codes' | 'params'>,
  { axis, bits, channels, groupSize, paramWidth, tokens, words }: PackedLayout,
): tf.Tensor {
  const shape = [...codes.shape.slice(0, -1), channels];
  if (tf.util.sizeFromShape(shape) === 0) return tf.zeros(shape);
  const values = splitCodes(tf.reshape(codes, [-1, words]), channels, bits); // [N * T, C]
  const [scale, zero] = splitHalfWords(params!).map((halves) => {
    const rows = tf.reshape(valuesOfHalves(halves), [-1, params!.shape.at(-2) ?? 1, paramWidth]);
    const [width, along] = axis === 'token' ? [channels, 2] : [tokens, 1];
    const spread = tf.gather(rows, groupOf(width, groupSize), along);
    return tf.reshape(spread, [-1, channels]); // [N * T, C]
  });
  return tf.reshape(tf.add(tf.mul(values, scale!), zero!), shape);
}
