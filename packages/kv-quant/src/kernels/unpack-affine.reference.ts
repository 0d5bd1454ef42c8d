/** The composed twin of `UnpackAffine`: the same values to the bit. */
import * as tf from '@tensorflow/tfjs-core';
import type { PackedLayout } from '../packed-layout';
import { valuesOfHalves } from './half-float.reference';
import { splitHalfWords } from './half-words';
import { groupOfChannel } from './pack-affine.reference';

/** @returns float32 [..., channels]. */
export function unpackAffineReference(
  codes: tf.Tensor,
  params: tf.Tensor | undefined,
  layout: PackedLayout,
): tf.Tensor {
  const { channels, words, groups } = layout;
  const shape = [...codes.shape.slice(0, -1), channels];
  if (tf.util.sizeFromShape(shape) === 0) return tf.zeros(shape);
  const values = splitCodes(tf.reshape(codes, [-1, words]), layout); // [N, C]
  if (params === undefined) return tf.reshape(valuesOfHalves(values), shape);
  const group = groupOfChannel(layout);
  const [scale, zero] = splitHalfWords(tf.reshape(params, [-1, groups])).map(
    (halves) => tf.gather(valuesOfHalves(halves), group, 1), // [N, C]
  );
  return tf.reshape(tf.add(tf.mul(values, scale!), zero!), shape);
}

/** Words [N, words] to float32 codes [N, C]. */
function splitCodes(words: tf.Tensor, { channels, bits }: PackedLayout): tf.Tensor {
  const halves = tf.stack(splitHalfWords(words), -1); // [N, words, 2]
  const perHalf = 16 / bits;
  const digits = Array.from({ length: perHalf }, (_, k) => {
    const shifted = tf.floor(tf.div(halves, 2 ** (bits * k)));
    return tf.sub(shifted, tf.mul(tf.floor(tf.div(shifted, 2 ** bits)), 2 ** bits));
  });
  const codes = tf.reshape(tf.stack(digits, -1), [words.shape[0]!, -1]);
  return tf.slice(codes, [0, 0], [words.shape[0]!, channels]);
}
