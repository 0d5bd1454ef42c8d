/**
 * A segment's absorbed projections in memory of ours: where attending is a pass there, queries are
 * absorbed and values expanded beside it, rather than by ops that take longer to begin than to end.
 */
import { ArenaMatrices } from '../host/arena-matrices';
import { addValueBias } from '../kernels/add-value-bias';
import type { AbsorbedWeights } from './absorbed-weights';

/** Most values of a projection: beyond, threads of a library are worth an op. */
export const MOST_ARENA_WEIGHTS = 2 ** 20;

/** An absorbed query. */
export interface ArenaQuery {
  /** [B, N, C / groups]; absent when there are no nope dims or no latent. */
  query?: Float32Array;
  /** [B, N]; absent when it would be zero. */
  bias?: Float32Array;
}

export class ArenaWeights {
  private readonly key: ArenaMatrices | undefined;
  private readonly keyBias: ArenaMatrices | undefined;
  private readonly value: ArenaMatrices | undefined;
  /** [N, V]. */
  private readonly valueBias: Float32Array | undefined;

  /** @param weights are copied, and stay the caller's. */
  constructor(weights: AbsorbedWeights) {
    const place = (matrices: AbsorbedWeights['key']) =>
      matrices && new ArenaMatrices(matrices.dataSync(), matrices.shape);
    this.key = place(weights.key);
    this.keyBias = place(weights.keyBias);
    this.value = place(weights.value);
    this.valueBias = weights.valueBias?.dataSync() as Float32Array | undefined;
  }

  /** @param nope [B, N, P], scaled, N being L times as many for L queries a row. */
  absorb(nope: Float32Array, batch: number): ArenaQuery {
    return {
      ...(this.key && { query: this.key.multiply(nope, batch) }),
      ...(this.keyBias && { bias: this.keyBias.multiply(nope, batch) }),
    };
  }

  /**
   * Add a segment's part of the result.
   * @param sums [B, N, C / groups]. @param masses [B, N]. @param output [B, N, V].
   */
  expand(sums: Float32Array, masses: Float32Array, output: Float32Array, batch: number): void {
    if (this.value) {
      const values = this.value.multiply(sums, batch);
      for (let i = 0; i < output.length; i++) output[i]! += values[i]!;
    }
    if (this.valueBias) addValueBias(output, masses, this.valueBias, batch);
  }

  /** Frees them. */
  dispose(): void {
    for (const matrices of [this.key, this.keyBias, this.value]) matrices?.dispose();
  }
}
