/** Queries and keys of a token a row, rotated, scaled and cut into heads in one kernel. */
import { registerHostKernel } from '@mha2mla/kv-quant';
import * as tf from '@tensorflow/tfjs-core';
import { type HeadShape, turnedPairs } from '../attention/head-shape';
import type { RotaryTable } from '../rotary';
import { takesHostVectors } from './host-vectors';

const KERNEL = 'TurnProjections';
/** Values of the queries where a loop takes as long as the ops. */
const MOST = 16384;

interface TurnInputs {
  /** [B, N * R + N * P]. */
  rawQuery: tf.Tensor2D;
  /** [B, K * R]. */
  rawKey: tf.Tensor2D;
  /** [B, 1, H / 2]. */
  cos: tf.Tensor3D;
  sin: tf.Tensor3D;
}

/**
 * Whether a loop here is faster than the ops. One that turns nothing is left to them.
 * @param size values of the queries.
 */
export function takesHostRotary(
  size: number,
  { cos }: RotaryTable,
  { qkRopeHeadDim }: HeadShape,
): boolean {
  return cos.shape[1] === 1 && qkRopeHeadDim > 0 && takesHostVectors(size, MOST);
}

/**
 * @param scale of the queries.
 * @returns queryRope [B, K, G, R], keyRope [B, K, 1, R] and queryNope [B, K, G, P]; the caller disposes
 *   them.
 */
export function turnOnHost(
  inputs: TurnInputs,
  shape: HeadShape,
  scale: number,
): Record<'queryRope' | 'keyRope' | 'queryNope', tf.Tensor4D> {
  register();
  const { numAttentionHeads: heads, numKeyValueHeads, qkRopeHeadDim, qkNopeHeadDim } = shape;
  const attrs = {
    heads,
    keyHeads: numKeyValueHeads,
    ropeDim: qkRopeHeadDim,
    nopeDim: qkNopeHeadDim,
    scale,
    pairs: turnedPairs(shape),
  };
  const outputs = tf.engine().runKernel(KERNEL, { ...inputs }, attrs) as tf.Tensor4D[];
  const [batch] = inputs.cos.shape;
  const perKey = heads / numKeyValueHeads;
  const [queryRope, keyRope, queryNope = tf.zeros([batch, numKeyValueHeads, perKey, 0])] =
    outputs as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D?];
  return { queryRope, keyRope, queryNope: queryNope as tf.Tensor4D };
}

function register(): void {
  registerHostKernel(KERNEL, ({ cos }, attrs) => {
    const { heads, keyHeads, ropeDim, nopeDim, scale, pairs } = attrs as Record<
      'heads' | 'keyHeads' | 'ropeDim' | 'nopeDim' | 'scale',
      number
    > & { pairs: number[] };
    const [batch, , half] = cos!.shape as [number, number, number];
    const perKey = heads / keyHeads;
    const output = (count: number, width: number) => ({
      shape: [batch, keyHeads, count, width],
      dtype: 'float32' as const,
    });
    const nopes = heads * nopeDim;
    return {
      outputs: [
        output(perKey, ropeDim),
        output(1, ropeDim),
        ...(nopes > 0 ? [output(perKey, nopeDim)] : []),
      ],
      run({ rawQuery, rawKey, cos, sin }, [queryRope, keyRope, queryNope]) {
        const [ropes, keys] = [heads * ropeDim, keyHeads * ropeDim];
        for (let row = 0; row < batch; row++) {
          const query = rawQuery!.subarray(row * (ropes + nopes), (row + 1) * (ropes + nopes));
          const [rowCos, rowSin] = [cos!, sin!].map((angles) => angles.subarray(row * half));
          const turn = (x: Values, y: Values, perKey: number, factor: number) =>
            turnHeads(x, y, { cos: rowCos!, sin: rowSin!, pairs, width: ropeDim, perKey, factor });
          turn(query, queryRope!.subarray(row * ropes, (row + 1) * ropes), perKey, scale);
          const own = row * keys;
          turn(rawKey!.subarray(own), keyRope!.subarray(own, own + keys), 1, 1);
          for (let i = 0; i < nopes; i++) queryNope![row * nopes + i] = query[ropes + i]! * scale;
        }
      },
    };
  });
}

type Values = Float32Array | Int32Array;

interface HeadAngles {
  /** Of all pairs of a head at this token. */
  cos: Values;
  sin: Values;
  /** Those that are turned, of one KV head after another. */
  pairs: readonly number[];
  /** R. */
  width: number;
  /** Heads that have a KV head's pairs. */
  perKey: number;
  factor: number;
}

/** Turn the heads of a token: per head the first halves of its pairs, then their second halves. */
function turnHeads(x: Values, y: Values, { cos, sin, pairs, width, perKey, factor }: HeadAngles) {
  const count = width / 2;
  for (let start = 0, head = 0; start < y.length; start += width, head++) {
    const first = Math.floor(head / perKey) * count;
    for (let i = 0; i < count; i++) {
      const pair = pairs[first + i]!;
      const [c, s] = [cos[pair]! * factor, sin[pair]! * factor];
      const [re, im] = [x[start + i]!, x[start + count + i]!];
      y[start + i] = re * c - im * s;
      y[start + count + i] = im * c + re * s;
    }
  }
}
