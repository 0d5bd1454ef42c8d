/**
 * Softmax attention within consecutive segments of a sequence: windows, or whole pictures. Segments
 * of one length run together, so the work grows with their number and not with its square.
 */
import * as tf from '@tensorflow/tfjs-core';
import { selfAttention } from '../vision/self-attention';

/** Most scores that are held at once, 64 MiB: within what every backend allocates in one piece. */
const MAX_SCORES = 2 ** 24;

export interface SegmentAttentionOptions {
  /** Scores that one product may make; less only to test that blocks change nothing. */
  maxScores?: number;
}

/**
 * @param query [T, heads, dim]; key and value alike.
 * @param lengths of the segments, in order; they sum to T.
 * @returns [T, heads * dim]; the caller disposes it.
 */
export function segmentAttention(
  query: tf.Tensor3D,
  key: tf.Tensor3D,
  value: tf.Tensor3D,
  lengths: readonly number[],
  { maxScores = MAX_SCORES }: SegmentAttentionOptions = {},
): tf.Tensor2D {
  const [, heads, dim] = query.shape;
  return tf.tidy(() => {
    const runs: Run[] = [];
    for (const [length, starts] of byLength(lengths)) {
      const perRun = Math.max(1, Math.floor(maxScores / (heads * length * length)));
      for (let i = 0; i < starts.length; i += perRun) {
        const own = starts.slice(i, i + perRun);
        const rows = rowsOf(own, length);
        const take = (x: tf.Tensor3D) => takeRows(x, rows, [own.length, length, heads, dim]);
        const output = tf.tidy(() => attend(take(query), take(key), take(value), maxScores));
        runs.push({ rows, output: tf.reshape(output, [rows.length, heads * dim]) });
      }
    }
    return putRows(runs);
  });
}

/** Segments that run together: where their rows stand, and what attention gives for them. */
interface Run {
  rows: Int32Array;
  output: tf.Tensor2D;
}

/** Starts of the segments of each length. */
function byLength(lengths: readonly number[]): Map<number, number[]> {
  const starts = new Map<number, number[]>();
  let start = 0;
  for (const length of lengths) {
    const own = starts.get(length);
    if (own) own.push(start);
    else starts.set(length, [start]);
    start += length;
  }
  return starts;
}

function rowsOf(starts: readonly number[], length: number): Int32Array {
  const rows = new Int32Array(starts.length * length);
  for (let i = 0; i < rows.length; i++) rows[i] = starts[Math.floor(i / length)]! + (i % length);
  return rows;
}

function takeRows(x: tf.Tensor3D, rows: Int32Array, shape: [number, number, number, number]) {
  const part = isStretch(rows)
    ? tf.slice(x, [rows[0]!, 0, 0], [rows.length, -1, -1])
    : tf.gather(x, tf.tensor1d(rows, 'int32'));
  return tf.reshape(part, shape) as tf.Tensor4D;
}

/** The outputs of all runs, in the order of their rows. */
function putRows(runs: readonly Run[]): tf.Tensor2D {
  const outputs = runs.map(({ output }) => output);
  const joined = tf.concat(outputs, 0);
  const places = new Int32Array(joined.shape[0]);
  let place = 0;
  for (const { rows } of runs) for (const row of rows) places[row] = place++;
  return isStretch(places) ? joined : tf.gather(joined, tf.tensor1d(places, 'int32'));
}

function isStretch(rows: Int32Array): boolean {
  return rows.every((row, i) => row === rows[0]! + i);
}

/** Attention over [segments, length, heads, dim], in blocks of queries where a segment is long. */
function attend(
  query: tf.Tensor4D,
  key: tf.Tensor4D,
  value: tf.Tensor4D,
  maxScores: number,
): tf.Tensor3D {
  const [segments, length, heads, dim] = query.shape;
  const block = Math.max(1, Math.floor(maxScores / (segments * heads * length)));
  if (block >= length) return selfAttention(query, key, value);
  const outputs: tf.Tensor3D[] = [];
  for (let start = 0; start < length; start += block) {
    const size = Math.min(block, length - start);
    const queries = tf.slice(query, [0, start, 0, 0], [segments, size, heads, dim]);
    outputs.push(selfAttention(queries, key, value));
    queries.dispose();
  }
  return tf.concat(outputs, 1);
}
