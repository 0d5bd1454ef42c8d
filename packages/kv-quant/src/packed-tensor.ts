/**
 * Vectors [..., T, C] in packed form. Words are int32 to the backend, but bit patterns to us:
 * arithmetic on them in f32 would lose all beyond 24 bits.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type { QuantSpec } from './quant-spec';
import { shareTensor } from './share-tensor';

/** Vectors in few bits: words of codes, and the scales and zero points that decode them. */
export class PackedTensor {
  /**
   * The packed tensor owns `codes` and `params`.
   * @param shape of the values, [..., T, C].
   * @param codes int32 [..., T, words], the lowest bits of a word are its first channel.
   * @param params int32 [..., T, groups], or [..., groups, C] where groups are of tokens; none of
   * halves.
   */
  constructor(
    readonly shape: readonly number[],
    readonly spec: QuantSpec,
    readonly codes: tf.Tensor,
    readonly params?: tf.Tensor,
  ) {}

  /** C. */
  get channels(): number {
    return this.shape.at(-1)!;
  }

  /** Bytes that codes and params hold; clones share them. */
  get sizeBytes(): number {
    return 4 * (this.codes.size + (this.params?.size ?? 0));
  }

  /** The same values under a lifetime of their own; copies nothing. */
  clone(): PackedTensor {
    const params = this.params && shareTensor(this.params);
    return new PackedTensor(this.shape, this.spec, shareTensor(this.codes), params);
  }

  /** Frees the words, unless a clone holds them too. */
  dispose(): void {
    this.codes.dispose();
    this.params?.dispose();
  }
}
