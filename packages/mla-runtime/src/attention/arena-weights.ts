/**
 * A segment's absorbed projections in memory of ours: where attending is a pass there, queries are
 * absorbed and values expanded beside it, rather than by ops that take longer to begin than to end.
 */
import { VALUE } from '../host/attend-placed';
import { HostArena } from '../host/host-arena';
import type { AbsorbedWeights } from './absorbed-weights';
import type { HeadShape } from './head-shape';

/** Most values of a projection: beyond, threads of a library are worth an op. */
export const MOST_ARENA_WEIGHTS = 2 ** 20;

interface PlacedMatrix {
  at: number;
  /** [K, inner, outer]. */
  inner: number;
  outer: number;
}

/** An absorbed query. */
export interface ArenaQuery {
  /** [B, N, C / groups]; absent when there are no nope dims or no latent. */
  query?: Float32Array;
  /** [B, N]; absent when it would be zero. */
  bias?: Float32Array;
}

export class ArenaWeights {
  private readonly arena = HostArena.take();
  private readonly key: PlacedMatrix | undefined;
  private readonly keyBias: PlacedMatrix | undefined;
  private readonly value: PlacedMatrix | undefined;
  /** [N, V]. */
  private readonly valueBias: Float32Array | undefined;

  /** @param weights are copied, and stay the caller's. */
  constructor(
    weights: AbsorbedWeights,
    private readonly shape: HeadShape,
  ) {
    const place = (matrix: AbsorbedWeights['key']): PlacedMatrix | undefined => {
      if (!matrix) return undefined;
      const [, inner, outer] = matrix.shape;
      const at = this.arena.allocate(VALUE * matrix.size);
      this.arena.values(at, matrix.size).set(matrix.dataSync());
      return { at, inner, outer };
    };
    this.key = place(weights.key);
    this.keyBias = place(weights.keyBias);
    this.value = place(weights.value);
    this.valueBias = weights.valueBias?.dataSync() as Float32Array | undefined;
  }

  /** @param nope [B, N, P], scaled, N being L times as many for L queries a row. */
  absorb(nope: Float32Array, batch: number): ArenaQuery {
    return {
      ...(this.key && { query: this.multiply(nope, this.key, batch) }),
      ...(this.keyBias && { bias: this.multiply(nope, this.keyBias, batch) }),
    };
  }

  /**
   * Add a segment's part of the result.
   * @param sums [B, N, C / groups]. @param masses [B, N]. @param output [B, N, V].
   */
  expand(sums: Float32Array, masses: Float32Array, output: Float32Array, batch: number): void {
    if (this.value) {
      const values = this.multiply(sums, this.value, batch);
      for (let i = 0; i < output.length; i++) output[i]! += values[i]!;
    }
    if (!this.valueBias) return;
    const width = output.length / masses.length;
    const queries = masses.length / batch / this.shape.numAttentionHeads;
    for (const [row, mass] of masses.entries()) {
      const head = Math.floor(row / queries) % this.shape.numAttentionHeads;
      for (let i = 0; i < width; i++) {
        output[row * width + i]! += mass * this.valueBias[head * width + i]!;
      }
    }
  }

  /** Frees them. */
  dispose(): void {
    for (const matrix of [this.key, this.keyBias, this.value]) this.arena.release(matrix?.at ?? 0);
  }

  /** x [B, K, rows, inner] with each head's matrix, [B, K, rows, outer]. */
  private multiply(x: Float32Array, { at, inner, outer }: PlacedMatrix, batch: number) {
    const { numKeyValueHeads } = this.shape;
    const rows = x.length / (batch * numKeyValueHeads * inner);
    const size = numKeyValueHeads * rows * outer;
    const [from, to] = [this.arena.allocate(VALUE * x.length), this.arena.allocate(VALUE * size)];
    const product = new Float32Array(batch * size);
    this.arena.values(from, x.length).set(x);
    for (let row = 0; row < batch; row++) {
      const own = from + (VALUE * row * x.length) / batch;
      this.arena.module.sums(numKeyValueHeads, rows, inner, outer, own, at, to);
      product.set(this.arena.values(to, size), row * size);
    }
    this.arena.release(from);
    this.arena.release(to);
    return product;
  }
}
