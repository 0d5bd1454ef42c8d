/** What a cache takes: by its format, and on this backend. */
import type * as tf from '@tensorflow/tfjs-core';
import { packedLayout } from './packed-layout';
import { PackedTensor } from './packed-tensor';
import { bandsOf } from './quant-spec';

/** Bytes of a cache, by what they hold. */
export interface ByteCount {
  codes: number;
  /** Scales, zero points, factors. */
  params: number;
  /** Vectors that are held exact, as float32. */
  exact: number;
  total: number;
}

/**
 * @returns nominal: codes without the rest of their last words, and parameters as if all groups of
 * tokens were full; allocated: all words that the tensors hold.
 */
export function countBytes(
  blocks: readonly (PackedTensor | tf.Tensor)[],
  window: tf.Tensor | undefined,
): { nominal: ByteCount; allocated: ByteCount } {
  const nominal = { codes: 0, params: 0, exact: 0, total: 0 };
  const allocated = { ...nominal };
  for (const part of window ? [...blocks, window] : blocks) {
    if (!(part instanceof PackedTensor)) {
      nominal.exact += 4 * part.size;
      allocated.exact += 4 * part.size;
      continue;
    }
    const { shape, spec, codes, params } = part;
    const layout = packedLayout('countBytes', spec, shape);
    const tokens = shape.slice(0, -1).reduce((product, size) => product * size, 1);
    for (const { bits, channels } of bandsOf(layout, layout.channels)) {
      nominal.codes += (tokens * channels * bits) / 8;
    }
    nominal.params +=
      layout.axis === 'token'
        ? 4 * tokens * layout.paramWidth
        : (4 * tokens * layout.channels) / layout.groupSize;
    allocated.codes += 4 * codes.size;
    allocated.params += 4 * (params?.size ?? 0);
  }
  for (const count of [nominal, allocated]) count.total = count.codes + count.params + count.exact;
  return { nominal, allocated };
}
