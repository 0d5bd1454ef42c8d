/**
 * The first and second moment of a layer's inputs, Σ x and Σ x xᵀ, over the tokens of a modality. Each batch is
 * multiplied on the device in f32; batches are added on the host in f64, since sums over many
 * tokens lose digits in f32 where a few channels are very large.
 */
import * as tf from '@tensorflow/tfjs-core';

/** Sums of x and x xᵀ over the tokens that a layer sees. */
export class SecondMoment {
  /** Σ x xᵀ, [dim, dim]. */
  readonly sum: Float64Array;
  /** Σ x, [dim]. */
  readonly first: Float64Array;
  /** Tokens that were added. */
  count = 0;

  constructor(readonly dim: number) {
    this.sum = new Float64Array(dim * dim);
    this.first = new Float64Array(dim);
  }

  /**
   * Add the rows of x that `mask` marks; others take no part, whatever they hold.
   * @param x [T, dim]; stays the caller's.
   * @param mask [T], 1 for a row that counts. Default all.
   * @throws RangeError when shapes differ, or a row that counts is not finite; nothing is added then.
   */
  async add(x: tf.Tensor2D, mask?: ArrayLike<number>): Promise<this> {
    const [rows, dim] = x.shape;
    if (dim !== this.dim || (mask && mask.length !== rows)) {
      throw new RangeError(
        `SecondMoment.add: x must be [T, ${this.dim}] and mask [T], got x=[${x.shape}], mask=[${mask?.length}].`,
      );
    }
    const chosen = Int32Array.from(
      Array.from({ length: rows }, (_, row) => row).filter((row) => !mask || mask[row]),
    );
    if (chosen.length === 0) return this;
    const products = tf.tidy(() => {
      const own = chosen.length === rows ? x : tf.gather(x, tf.tensor1d(chosen, 'int32'));
      return [tf.matMul(tf.transpose(own), own), tf.sum(own, 0)]; // [dim, dim] and [dim]
    });
    const [values, first] = (await Promise.all(products.map((t) => t.data()))) as Float32Array[];
    tf.dispose(products);
    // By Cauchy-Schwarz no sum is larger than the largest on the diagonal, and NaN shows there too:
    // looking at all of 4096 x 4096 sums would take longer than the product.
    const bad = this.first.findIndex((_, i) => !Number.isFinite(values![i * (dim + 1)]));
    if (bad >= 0) {
      throw new RangeError(
        `SecondMoment.add: sums of squares must be finite, got ${values![bad * (dim + 1)]} for x[${bad}]. Padding belongs in the mask.`,
      );
    }
    for (let i = 0; i < values!.length; i++) this.sum[i]! += values![i]!;
    for (let i = 0; i < dim; i++) this.first[i]! += first![i]!;
    this.count += chosen.length;
    return this;
  }

  /** Add another moment of the same inputs: shards of a calibration set, or another modality. */
  merge(other: SecondMoment): this {
    if (other.dim !== this.dim) {
      throw new RangeError(`SecondMoment.merge: dim must be ${this.dim}, got ${other.dim}.`);
    }
    for (let i = 0; i < this.sum.length; i++) this.sum[i]! += other.sum[i]!;
    for (let i = 0; i < this.dim; i++) this.first[i]! += other.first[i]!;
    this.count += other.count;
    return this;
  }

  /** The same sums, to be added to apart from these. */
  clone(): SecondMoment {
    return new SecondMoment(this.dim).merge(this);
  }

  /** Mean of x xᵀ, [dim, dim]; zero before anything was added. */
  normalized(): Float64Array {
    const scale = 1 / Math.max(1, this.count);
    return this.sum.map((value) => value * scale);
  }

  /** Mean of x, [dim]; zero before anything was added. */
  mean(): Float64Array {
    const scale = 1 / Math.max(1, this.count);
    return this.first.map((value) => value * scale);
  }

  /** Mean of (x - mean)(x - mean)ᵀ, [dim, dim]. */
  centered(): Float64Array {
    const { dim } = this;
    const mean = this.mean();
    const moment = this.normalized();
    for (let i = 0; i < dim; i++) {
      for (let j = 0; j < dim; j++) moment[i * dim + j]! -= mean[i]! * mean[j]!;
    }
    return moment;
  }
}
