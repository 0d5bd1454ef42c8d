/**
 * The composed twin of `PackAffine`: the same words to the bit, except that 16-bit NaNs lose their
 * payload and -0 its sign. Its f32 arithmetic is also what the kernel rounds to.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { PackedLayout } from '../packed-layout';
import { halfFromMagnitude, nearestHalves, valuesOfHalves } from './half-float.reference';
import { joinHalfWords } from './half-words';

/** @returns int32 [..., words] and, below 16 bits, int32 [..., groups]. */
export function packAffineReference(x: tf.Tensor, layout: PackedLayout): tf.Tensor[] {
  const { channels, bits, words, groups } = layout;
  const outer = x.shape.slice(0, -1);
  const codesShape = [...outer, words];
  const paramsShape = [...outer, groups];
  if (x.size === 0) {
    const empty = [tf.zeros(codesShape, 'int32'), tf.zeros(paramsShape, 'int32')];
    return bits === 16 ? empty.slice(0, 1) : empty;
  }
  const rows = tf.reshape(x, [-1, channels]) as tf.Tensor2D; // [N, C]
  if (bits === 16) {
    return [tf.reshape(joinCodes(nearestHalves(rows) as tf.Tensor2D, layout), codesShape)];
  }
  const [scaleHalves, zeroHalves] = groupParams(rows, layout); // [N, groups] each
  const toChannels = (halves: tf.Tensor) =>
    tf.gather(valuesOfHalves(halves), groupOfChannel(layout), 1); // [N, C]
  const scale = toChannels(scaleHalves);
  const steps = tf.div(tf.sub(rows, toChannels(zeroHalves)), scale);
  const clipped = tf.clipByValue(steps, 0, 2 ** bits - 1);
  const codes = tf.where(tf.greater(scale, 0), tf.round(clipped), tf.zerosLike(rows));
  return [
    tf.reshape(joinCodes(codes as tf.Tensor2D, layout), codesShape),
    tf.reshape(joinHalfWords(scaleHalves, zeroHalves), paramsShape),
  ];
}

/** Channel to group, int32 [C]. */
export function groupOfChannel({ channels, groupSize }: PackedLayout): tf.Tensor1D {
  const groups = Int32Array.from({ length: channels }, (_, c) => Math.floor(c / groupSize));
  return tf.tensor1d(groups, 'int32');
}

/** Bits of scales and zero points, [N, groups] each, NaN for a group that is not all finite. */
function groupParams(rows: tf.Tensor2D, layout: PackedLayout): [tf.Tensor, tf.Tensor] {
  const finite = perGroup(tf.isFinite(rows), layout, (x) => tf.all(x, -1));
  const zeros = tf.zeros(finite.shape);
  const min = tf.where(
    finite,
    perGroup(rows, layout, (x) => tf.min(x, -1)),
    zeros,
  );
  const max = tf.where(
    finite,
    perGroup(rows, layout, (x) => tf.max(x, -1)),
    zeros,
  );
  const isNegative = tf.less(min, 0);
  // Down is away from 0 where min is negative.
  const zeroMagnitude = halfFromMagnitude(tf.minimum(tf.abs(min), 65504), (x) =>
    tf.where(isNegative, tf.ceil(x), tf.floor(x)),
  );
  const sign = tf.mul(tf.cast(isNegative, 'float32'), 0x8000);
  const zeroHalves = tf.add(zeroMagnitude, sign);
  const range = tf.relu(tf.sub(max, valuesOfHalves(zeroHalves)));
  const step = tf.minimum(tf.div(range, 2 ** layout.bits - 1), 65504);
  const scaleHalves = halfFromMagnitude(step, tf.ceil);
  const nan = tf.fill(finite.shape, 0x7e00);
  return [tf.where(finite, scaleHalves, nan), tf.where(finite, zeroHalves, nan)];
}

/** Reduce the last axis of each group, the shorter last one apart: [N, C] to [N, groups]. */
function perGroup(
  rows: tf.Tensor2D,
  { channels, groupSize }: PackedLayout,
  reduce: (x: tf.Tensor) => tf.Tensor,
): tf.Tensor {
  const count = rows.shape[0];
  const whole = Math.floor(channels / groupSize);
  const parts: tf.Tensor[] = [];
  if (whole > 0) {
    const full = tf.slice(rows, [0, 0], [count, whole * groupSize]);
    parts.push(reduce(tf.reshape(full, [count, whole, groupSize])));
  }
  if (whole * groupSize < channels) {
    const rest = tf.slice(rows, [0, whole * groupSize], [count, channels - whole * groupSize]);
    parts.push(reduce(tf.reshape(rest, [count, 1, -1])));
  }
  return tf.concat(parts, 1);
}

/** float32 codes [N, C] to words [N, words]. */
function joinCodes(codes: tf.Tensor2D, { channels, bits, words }: PackedLayout): tf.Tensor {
  const perHalf = 16 / bits;
  const padded = tf.pad(codes, [
    [0, 0],
    [0, 2 * words * perHalf - channels],
  ]);
  const digits = tf.reshape(padded, [-1, words, 2, perHalf]);
  const weights = tf.tensor1d(Array.from({ length: perHalf }, (_, k) => 2 ** (bits * k)));
  const halves = tf.sum(tf.mul(digits, weights), -1); // [N, words, 2], below 2^16
  const [low, high] = tf.unstack(halves, -1);
  return joinHalfWords(low!, high!);
}
