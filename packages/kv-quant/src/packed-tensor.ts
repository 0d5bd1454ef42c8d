/**
 * A tensor whose last axis is stored in 4, 8 or 16 bits a value. The vector of each token is packed
 * alone, so tokens are joined by copying words. Words are int32 to the backend, but bit patterns to
 * us: arithmetic on them in f32 would lose all beyond 24 bits.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { PackedBits, PackedLayout } from './packed-layout';

export class PackedTensor {
  readonly bits: PackedBits;
  /** Channels that share a scale and a zero point. */
  readonly groupSize: number;

  /**
   * The packed tensor owns `codes` and `params`.
   * @param shape of the values, [..., channels].
   * @param codes int32 [..., words], the lowest bits of a word are its first channel.
   * @param params int32 [..., groups]: scale as f16 in the low half of a word, zero point as f16 in
   * its high half; none at 16 bits.
   */
  constructor(
    readonly shape: readonly number[],
    { bits, groupSize }: Pick<PackedLayout, 'bits' | 'groupSize'>,
    readonly codes: tf.Tensor,
    readonly params?: tf.Tensor,
  ) {
    this.bits = bits;
    this.groupSize = groupSize;
  }

  get channels(): number {
    return this.shape.at(-1)!;
  }

  /** Bytes that codes and params hold; clones share them. */
  get sizeBytes(): number {
    return 4 * (this.codes.size + (this.params?.size ?? 0));
  }

  /** The same values under a lifetime of their own; copies nothing. */
  clone(): PackedTensor {
    const params = this.params && tf.clone(this.params);
    return new PackedTensor(this.shape, this, tf.clone(this.codes), params);
  }

  dispose(): void {
    this.codes.dispose();
    this.params?.dispose();
  }
}
