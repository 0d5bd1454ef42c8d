/**
 * Rotary position embedding in the "half" layout: pair i is (i, i + headDim / 2), turned by
 * position * theta^(-2 i / headDim). For M-RoPE a pair's position is that of its section's axis
 * (time, height, width). Angles are rounded to f32 where the original models round them.
 */
import type { RopePairs } from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';

/** Rotations of each token's pairs. */
export interface RotaryTable {
  /** cos and sin of the angles, [B, L, headDim / 2]. */
  cos: tf.Tensor3D;
  sin: tf.Tensor3D;
}

export interface RotaryOptions {
  headDim: number;
  ropeTheta: number;
  mropeSection?: readonly number[];
  /** [headDim / 2]; default those of {@link rotaryFrequencies}. */
  frequencies?: ArrayLike<number>;
}

/** theta^(-2 i / headDim) for each pair, [headDim / 2], rounded as the original models round. */
export function rotaryFrequencies({
  headDim,
  ropeTheta,
}: Pick<RotaryOptions, 'headDim' | 'ropeTheta'>): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, i) =>
    Math.fround(1 / Math.fround(ropeTheta ** Math.fround((2 * i) / headDim))),
  );
}

/**
 * Compute the cosines and sines of every pair at every token, on the host.
 * @param positionIds [B * L], or [3 * B * L] (time, height, width) for M-RoPE.
 * @returns two arrays [B * L * headDim / 2].
 */
export function rotaryAngles(
  positionIds: Int32Array,
  tokens: number,
  options: RotaryOptions,
): { cos: Float32Array; sin: Float32Array } {
  const { headDim, mropeSection, frequencies = rotaryFrequencies(options) } = options;
  const axes = mropeSection ? 3 : 1;
  if (positionIds.length !== axes * tokens) {
    throw new RangeError(
      `rotaryAngles: positionIds must hold ${axes} x ${tokens} positions, got ${positionIds.length}.`,
    );
  }
  const pairs = headDim / 2;
  const axisOfPair = pairAxes(pairs, mropeSection);
  const cos = new Float32Array(tokens * pairs);
  const sin = new Float32Array(tokens * pairs);
  for (let t = 0; t < tokens; t++) {
    for (let i = 0; i < pairs; i++) {
      const position = positionIds[axisOfPair[i]! * tokens + t]!;
      const angle = Math.fround(position * frequencies[i]!);
      cos[t * pairs + i] = Math.cos(angle);
      sin[t * pairs + i] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** The axis (0 time, 1 height, 2 width) whose position turns each pair. */
export function pairAxes(pairs: number, section: readonly number[] | undefined): Uint8Array {
  const axes = new Uint8Array(pairs);
  let start = 0;
  for (const [axis, count] of (section ?? [pairs]).entries()) {
    axes.fill(axis, start, start + count);
    start += count;
  }
  return axes;
}

/** Put {@link rotaryAngles} on the device. The caller disposes both tensors. */
export function rotaryTable(
  positionIds: Int32Array,
  [batch, length]: readonly [number, number],
  options: RotaryOptions,
): RotaryTable {
  const { cos, sin } = rotaryAngles(positionIds, batch * length, options);
  const shape: [number, number, number] = [batch, length, options.headDim / 2];
  return { cos: tf.tensor3d(cos, shape), sin: tf.tensor3d(sin, shape) };
}

/**
 * Turn the chosen pairs of every head.
 * @param x [B, L, heads, R]: per head the first halves of its pairs, then their second halves.
 * @param pairs of each head; `undefined` turns all pairs of every head.
 * @returns [B, L, heads, R].
 */
export function applyRotary(
  x: tf.Tensor4D,
  table: RotaryTable,
  pairs: RopePairs | undefined,
): tf.Tensor4D {
  if (x.shape[3] === 0) return tf.clone(x);
  return tf.tidy(() => {
    const [cos, sin] = selectPairs(table, pairs);
    const turned = tf.customGrad((...args) => {
      const [x, save] = args as unknown as [tf.Tensor4D, tf.GradSaveFunc];
      save([cos, sin]);
      // The gradient is turned back.
      const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [cos, sin] = saved as [tf.Tensor, tf.Tensor];
        return turn(dy, cos, tf.neg(sin));
      };
      return { value: turn(x, cos, sin), gradFunc };
    });
    return turned(x) as tf.Tensor4D;
  });
}

/** Multiply pairs, taken as complex numbers, by cos + i sin. */
function turn(x: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor): tf.Tensor {
  const [re, im] = tf.split(x, 2, 3) as [tf.Tensor, tf.Tensor];
  return tf.concat(
    [tf.sub(tf.mul(re, cos), tf.mul(im, sin)), tf.add(tf.mul(im, cos), tf.mul(re, sin))],
    3,
  );
}

/** Each head's columns of cos and sin, [B, L, heads or 1, R / 2]. */
function selectPairs(
  { cos, sin }: RotaryTable,
  pairs: RopePairs | undefined,
): [tf.Tensor, tf.Tensor] {
  if (pairs === undefined) return [tf.expandDims(cos, 2), tf.expandDims(sin, 2)];
  const [batch, length] = cos.shape;
  const columns = tf.tensor1d(
    pairs.flatMap((own) => [...own]),
    'int32',
  );
  const select = (angles: tf.Tensor3D) =>
    tf.reshape(tf.gather(angles, columns, 2), [batch, length, pairs.length, -1]);
  return [select(cos), select(sin)];
}
