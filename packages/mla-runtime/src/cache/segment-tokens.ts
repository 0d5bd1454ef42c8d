/** Which tokens of a prompt belong to a segment of the cache, and how to gather them. */
import * as tf from '@tensorflow/tfjs-core';
import type { Segment } from '../attention/attention';
import { PADDING, TEXT, type TokenLayout, VISION } from '../token-layout';

/** Per row, the columns of the layout that belong to a segment, ascending. */
export function segmentColumns(
  segment: Segment,
  { batch, length, kinds }: TokenLayout,
): number[][] {
  const belongs = (kind: number) =>
    segment === 'all' ? kind !== PADDING : kind === (segment === 'vision' ? VISION : TEXT);
  return Array.from({ length: batch }, (_, row) => {
    const columns: number[] = [];
    for (let t = 0; t < length; t++) if (belongs(kinds[row * length + t]!)) columns.push(t);
    return columns;
  });
}

/**
 * [B * L]: how many tokens of its row, padding left out, stand before each token.
 * @param starts [B], tokens that stand before all of them.
 */
export function sequencePositions(
  { batch, length, kinds }: TokenLayout,
  starts: Int32Array,
): Int32Array {
  const positions = new Int32Array(batch * length);
  for (let row = 0; row < batch; row++) {
    let count = starts[row]!;
    for (let t = row * length; t < (row + 1) * length; t++) {
      // A padded token takes the last position given, so that a row's end tells its length.
      positions[t] = kinds[t] === PADDING ? count - 1 : count++;
    }
  }
  return positions;
}

/**
 * Gather a segment's tokens, rows of fewer tokens filled up with their last one, which widens no
 * range that a quantizer finds; with zeros where there is none.
 * @param x [B, L, C].
 * @returns [B, T, C] with T the longest row's count; the caller disposes it.
 */
export function gatherSegment(x: tf.Tensor3D, segment: Segment, layout: TokenLayout): tf.Tensor3D {
  const [batch, length, width] = x.shape;
  const rows = segmentColumns(segment, layout);
  const longest = Math.max(...rows.map((columns) => columns.length));
  if (rows.every((columns) => columns.length === length)) return tf.clone(x);
  const zeroRow = batch * length;
  const indices = new Int32Array(batch * longest);
  for (const [row, columns] of rows.entries()) {
    for (let slot = 0; slot < longest; slot++) {
      const column = columns[Math.min(slot, columns.length - 1)];
      indices[row * longest + slot] = column === undefined ? zeroRow : row * length + column;
    }
  }
  return tf.tidy(() => {
    const flat = tf.concat([tf.reshape(x, [zeroRow, width]), tf.zeros([1, width])], 0);
    const gathered = tf.gather(flat, tf.tensor1d(indices, 'int32'), 0);
    return tf.reshape(gathered, [batch, longest, width]);
  });
}
