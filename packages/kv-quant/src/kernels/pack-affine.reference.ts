/**
 * The composed twin of `PackAffine`: the same words to the bit. Its f32 arithmetic is also what the
 * kernel rounds to.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type PackedLayout, packedShapes } from '../packed-layout';
import { joinCodes } from './code-words.reference';
import { groupOf, perGroup, toGroupRows } from './group-rows.reference';
import { halfFromMagnitude, valuesOfHalves } from './half-float.reference';
import { joinHalfWords } from './half-words';

/** @returns int32 words of codes and of params, as the kernel. */
export function packAffineReference(x: tf.Tensor, layout: PackedLayout): tf.Tensor[] {
  const shapes = packedShapes(x.shape, layout);
  if (x.size === 0) return shapes.map((shape) => tf.zeros(shape, 'int32'));
  const { rows, restore } = toGroupRows(x, layout); // [N, W], groups along W
  const [scaleHalves, zeroHalves] = groupParams(rows, layout); // [N, groups] each
  const spread = (halves: tf.Tensor) =>
    tf.gather(valuesOfHalves(halves), groupOf(rows.shape[1]!, layout.groupSize), 1); // [N, W]
  const scale = spread(scaleHalves);
  const steps = tf.div(tf.sub(rows, spread(zeroHalves)), scale);
  const clipped = tf.clipByValue(steps, 0, 2 ** layout.bits - 1);
  const codes = tf.where(tf.greater(scale, 0), tf.round(clipped), tf.zerosLike(rows));
  return [
    tf.reshape(
      joinCodes(tf.reshape(restore(codes), [-1, layout.channels]), layout.bits),
      shapes[0]!,
    ),
    tf.reshape(restore(joinHalfWords(scaleHalves, zeroHalves)), shapes[1]!),
  ];
}

/** Bits of scales and zero points, [N, groups] each, NaN for a group that is not all finite. */
function groupParams(rows: tf.Tensor2D, { bits, groupSize }: PackedLayout): [tf.Tensor, tf.Tensor] {
  const finite = perGroup(tf.isFinite(rows), groupSize, (x) => tf.all(x, -1));
  const zeros = tf.zeros(finite.shape);
  const ofGroups = (reduce: (x: tf.Tensor) => tf.Tensor) =>
    tf.where(finite, perGroup(rows, groupSize, reduce), zeros);
  const min = ofGroups((x) => tf.min(x, -1));
  const max = ofGroups((x) => tf.max(x, -1));
  const isNegative = tf.less(min, 0);
  // Down is away from 0 where min is negative.
  const zeroMagnitude = halfFromMagnitude(tf.minimum(tf.abs(min), 65504), (x) =>
    tf.where(isNegative, tf.ceil(x), tf.floor(x)),
  );
  const sign = tf.mul(tf.cast(isNegative, 'float32'), 0x8000);
  const zeroHalves = tf.add(zeroMagnitude, sign);
  const range = tf.relu(tf.sub(max, valuesOfHalves(zeroHalves)));
  const step = tf.minimum(tf.div(range, 2 ** bits - 1), 65504);
  const scaleHalves = halfFromMagnitude(step, tf.ceil);
  const nan = tf.fill(finite.shape, 0x7e00);
  return [tf.where(finite, scaleHalves, nan), tf.where(finite, zeroHalves, nan)];
}
