/** Codes from and to words in composed ops, bit by bit. */
import * as tf from '@tensorflow/tfjs-core';
import { joinHalfWords, splitHalfWords } from './half-words';

const HALF_WEIGHTS = Array.from({ length: 16 }, (_, k) => 2 ** k);

/** float32 codes [N, C] to int32 words [N, words]. */
export function joinCodes(codes: tf.Tensor, bits: number): tf.Tensor {
  const [rows, channels] = codes.shape as [number, number];
  const words = Math.ceil((channels * bits) / 32);
  const digits = tf.reshape(binaryDigits(codes, bits), [rows, channels * bits]);
  const padded = tf.pad(digits as tf.Tensor2D, [
    [0, 0],
    [0, 32 * words - channels * bits],
  ]);
  const halves = tf.sum(tf.mul(tf.reshape(padded, [rows, words, 2, 16]), HALF_WEIGHTS), -1);
  const [low, high] = tf.unstack(halves, -1);
  return joinHalfWords(low!, high!);
}

/** int32 words [N, words] to float32 codes [N, C]. */
export function splitCodes(words: tf.Tensor, channels: number, bits: number): tf.Tensor {
  const rows = words.shape[0]!;
  const halves = tf.stack(splitHalfWords(words), -1); // [N, words, 2]
  const digits = tf.reshape(binaryDigits(halves, 16), [rows, -1]);
  const own = tf.slice(digits as tf.Tensor2D, [0, 0], [rows, channels * bits]);
  return tf.sum(tf.mul(tf.reshape(own, [rows, channels, bits]), HALF_WEIGHTS.slice(0, bits)), -1);
}

/** Whole numbers [...] below 2^bits to their digits [..., bits], the lowest first. */
function binaryDigits(x: tf.Tensor, bits: number): tf.Tensor {
  const shifted = tf.floor(tf.div(tf.expandDims(x, -1), HALF_WEIGHTS.slice(0, bits)));
  return tf.sub(shifted, tf.mul(tf.floor(tf.div(shifted, 2)), 2));
}
