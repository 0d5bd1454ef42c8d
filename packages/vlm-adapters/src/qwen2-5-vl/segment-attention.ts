/**
 * Softmax attention within consecutive segments of a sequence: windows, or whole pictures. Segments
 * of one length run together, so the work grows with their number and not with its square.
 */
import * as tf from '@tensorflow/tfjs-core';
import { selfAttention } from '../vision/self-attention';

/** Most scores that are held at once, 64 MiB: within what every backend allocates in one piece. */
const MAX_SCORES = 2 ** 24;

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
): tf.Tensor2D {
  const [, heads, dim] = query.shape;
  return tf.tidy(() => {
    const runs: { rows: number[]; output: tf.Tensor2D }[] = [];
    for (const [length, starts] of byLength(lengths)) {
      const perRun = Math.max(1, Math.floor(MAX_SCORES / (heads * length * length)));
      for (let i = 0; i < starts.length; i += perRun) {
        const own = starts.slice(i, i + perRun);
        const rows = own.flatMap((start) => Array.from({ length }, (_, t) => start + t));
        const take = (x: tf.Tensor3D) => takeRows(x, rows, [own.length, length, heads, dim]);
        const output = attend(take(query), take(key), take(value));
        runs.push({ rows, output: tf.reshape(output, [rows.length, heads * dim]) });
      }
    }
    return putRows(runs);
  });
}

/** Starts of the segments of each length. */
function byLength(lengths: readonly number[]): Map<number, number[]> {
  const starts = new Map<number, number[]>();
  let start = 0;
  for (const length of lengths) {
    starts.set(length, [...(starts.get(length) ?? []), start]);
    start += length;
  }
  return starts;
}

type Rows = readonly number[];

function takeRows(x: tf.Tensor3D, rows: Rows, shape: [number, number, number, number]) {
  const part = isStretch(rows)
    ? tf.slice(x, [rows[0]!, 0, 0], [rows.length, -1, -1])
    : tf.gather(x, tf.tensor1d(rows as number[], 'int32'));
  return tf.reshape(part, shape) as tf.Tensor4D;
}

/** The outputs of all runs, in the order of their rows. */
function putRows(runs: readonly { rows: Rows; output: tf.Tensor2D }[]): tf.Tensor2D {
  const joined = tf.concat(
    runs.map(({ output }) => output),
    0,
  );
  const rows = runs.flatMap((run) => run.rows);
  if (isStretch(rows)) return joined;
  const places = new Int32Array(rows.length);
  for (const [place, row] of rows.entries()) places[row] = place;
  return tf.gather(joined, tf.tensor1d(places, 'int32'));
}

function isStretch(rows: Rows): boolean {
  return rows.every((row, i) => row === rows[0]! + i);
}

/** Attention over [segments, length, heads, dim], in blocks of queries where a segment is long. */
function attend(query: tf.Tensor4D, key: tf.Tensor4D, value: tf.Tensor4D): tf.Tensor3D {
  const [segments, length, heads, dim] = query.shape;
  const block = Math.max(1, Math.floor(MAX_SCORES / (segments * heads * length)));
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
