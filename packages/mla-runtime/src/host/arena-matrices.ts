/** Matrices in memory of ours, for rows to be multiplied with where an op takes longer to begin than to end. */
import { VALUE } from './attend-placed';
import { HostArena } from './host-arena';

export class ArenaMatrices {
  private readonly arena = HostArena.take();
  private readonly at: number;

  /** @param matrices [K, inner, outer]; copied. */
  constructor(
    matrices: ArrayLike<number>,
    private readonly shape: readonly [count: number, inner: number, outer: number],
  ) {
    this.at = this.arena.allocate(VALUE * matrices.length);
    this.arena.values(this.at, matrices.length).set(matrices);
  }

  /**
   * @param x [B, K, rows, inner], rows of each matrix.
   * @returns [B, K, rows, outer].
   */
  multiply(x: Float32Array, batch = 1): Float32Array {
    const { arena } = this;
    const [count, inner, outer] = this.shape;
    const rows = x.length / (batch * count * inner);
    const size = count * rows * outer;
    const [from, to] = [arena.allocate(VALUE * x.length), arena.allocate(VALUE * size)];
    const product = new Float32Array(batch * size);
    arena.values(from, x.length).set(x);
    for (let row = 0; row < batch; row++) {
      const own = from + (VALUE * row * x.length) / batch;
      arena.module.sums(count, rows, inner, outer, own, this.at, to);
      product.set(arena.values(to, size), row * size);
    }
    arena.release(from);
    arena.release(to);
    return product;
  }

  /** Frees them. */
  dispose(): void {
    this.arena.release(this.at);
  }
}
