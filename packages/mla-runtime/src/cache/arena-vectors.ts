/**
 * Cached vectors [B, heads, T, C] as they are, in memory of ours: where a backend's tensors cannot be
 * appended to, nor read without a copy (TensorFlow's library on a processor). Blocks grow with what is
 * cached and are filled in place.
 */
import type { QuantizedCache } from '@mha2mla/kv-quant';
import * as tf from '@tensorflow/tfjs-core';
import { type PlacedBlock, type PlacedVectors, TILE, VALUE } from '../host/attend-placed';
import type { HostArena } from '../host/host-arena';

/**
 * Most tokens of a block, unless more come at once; it has as many as there are before. Blocks begin at
 * multiples of a tile, so that sums are the same to the bit whatever was appended, forked and rewound
 * before.
 */
const MOST = 2048;

/** Memory of some tokens; forks share it, and write to none that is shared. `users` hold it. */
interface Block {
  at: number;
  capacity: number;
  users: number;
}

type Shape = readonly [batch: number, parts: number, width: number];

export class ArenaVectors {
  readonly exact = true;
  readonly spec = undefined;
  readonly residualLength = 0;
  private readonly blocks: { block: Block; tokens: number }[] = [];
  /** Once it is known. */
  private shape: Shape | undefined;

  private taken: HostArena | undefined;

  /** @param takeArena where they are to lie, asked for once there are some. */
  constructor(private readonly takeArena: () => HostArena) {}

  /** Where they lie. */
  get arena(): HostArena {
    this.taken ??= this.takeArena();
    return this.taken;
  }

  /** Tokens held. */
  get length(): number {
    return this.blocks.reduce((sum, { tokens }) => sum + tokens, 0);
  }

  /** Where they lie; of a cache that is not empty. */
  get placed(): PlacedVectors {
    const [, parts, width] = this.shape!;
    const blocks = this.blocks.map(
      ({ block: { at, capacity }, tokens }): PlacedBlock => ({ at, tokens, capacity }),
    );
    return { parts, width, blocks };
  }

  /** B. */
  get batch(): number {
    return this.shape![0];
  }

  /**
   * Append vectors.
   * @param x float32 [B, heads, t, C], of the same batch, heads and width each time. Not disposed.
   * @throws RangeError if its shape does not fit, or memory ends.
   */
  append(x: tf.Tensor): void {
    const [batch, parts, count, width] = this.checkShape(x);
    const values = x.dataSync() as Float32Array;
    for (let first = 0; first < count; ) {
      const open = this.openBlock(count - first);
      const { block, tokens } = open;
      const some = Math.min(block.capacity - tokens, count - first);
      for (let part = 0; part < batch * parts; part++) {
        const from = (part * count + first) * width;
        const own = values.subarray(from, from + some * width);
        this.valuesOf(block, part, tokens, some).set(own);
      }
      open.tokens += some;
      first += some;
    }
  }

  /** Each block as float32 [B, heads, t, C], in the order of appending; the caller disposes them. */
  read<R extends tf.Rank>(): tf.Tensor<R>[] {
    return this.blocks.map(({ block, tokens }) => {
      const [batch, parts, width] = this.shape!;
      const values = new Float32Array(batch * parts * tokens * width);
      for (let part = 0; part < batch * parts; part++) {
        values.set(this.valuesOf(block, part, 0, tokens), part * tokens * width);
      }
      return tf.tensor4d(values, [batch, parts, tokens, width]) as unknown as tf.Tensor<R>;
    });
  }

  /** Forget all tokens but the first `length`. @throws RangeError unless 0 <= length <= this.length. */
  rewind(length: number): void {
    if (!Number.isSafeInteger(length) || length < 0 || length > this.length) {
      throw new RangeError(
        `ArenaVectors: length must be a whole number from 0 to ${this.length}, got ${length}.`,
      );
    }
    for (let surplus = this.length - length; surplus > 0; ) {
      const last = this.blocks.at(-1)!;
      const dropped = Math.min(surplus, last.tokens);
      last.tokens -= dropped;
      surplus -= dropped;
      if (last.tokens === 0) this.release(this.blocks.pop()!.block);
    }
  }

  /** A second cache with the same tokens; copies nothing. */
  fork(): ArenaVectors {
    const copy = new ArenaVectors(this.takeArena);
    copy.taken = this.taken;
    copy.shape = this.shape;
    for (const { block, tokens } of this.blocks) {
      block.users++;
      copy.blocks.push({ block, tokens });
    }
    return copy;
  }

  get bytes(): QuantizedCache['bytes'] {
    const [batch, parts, width] = this.shape ?? [0, 0, 0];
    const count = (tokens: number) => {
      const exact = VALUE * batch * parts * width * tokens;
      return { codes: 0, params: 0, exact, total: exact };
    };
    const capacity = this.blocks.reduce((sum, { block }) => sum + block.capacity, 0);
    return { nominal: count(this.length), allocated: count(capacity) };
  }

  /** Frees what is cached, unless a fork holds it too. */
  dispose(): void {
    for (const { block } of this.blocks.splice(0)) this.release(block);
  }

  /** The last block if it has room, else a new one. @param wanted tokens to come. */
  private openBlock(wanted: number): { block: Block; tokens: number } {
    const last = this.blocks.at(-1);
    if (last && last.tokens < last.block.capacity) {
      if (last.block.users === 1) return last;
      if (last.tokens % TILE > 0) return this.ownTile(last, wanted);
    }
    const capacity = Math.max(wanted, Math.min(this.length, MOST));
    return this.newBlock(Math.ceil(capacity / TILE) * TILE);
  }

  /** The last tokens of a block that forks share, copied to one that has room. */
  private ownTile(shared: { block: Block; tokens: number }, wanted: number) {
    const count = shared.tokens % TILE;
    const first = shared.tokens - count;
    const own = this.newBlock(Math.ceil((count + wanted) / TILE) * TILE);
    const [batch, parts] = this.shape!;
    for (let part = 0; part < batch * parts; part++) {
      this.valuesOf(own.block, part, 0, count).set(this.valuesOf(shared.block, part, first, count));
    }
    own.tokens = count;
    shared.tokens = first;
    if (first === 0) {
      this.blocks.splice(this.blocks.indexOf(shared), 1);
      this.release(shared.block);
    }
    return own;
  }

  private newBlock(capacity: number): { block: Block; tokens: number } {
    const size = this.shape!.reduce((product, dim) => product * dim, 1);
    const at = this.arena.allocate(VALUE * size * capacity);
    const open = { block: { at, capacity, users: 1 }, tokens: 0 };
    this.blocks.push(open);
    return open;
  }

  private valuesOf(
    { at, capacity }: Block,
    part: number,
    first: number,
    count: number,
  ): Float32Array {
    const width = this.shape![2];
    return this.arena.values(at + VALUE * width * (part * capacity + first), count * width);
  }

  private release(block: Block): void {
    block.users--;
    if (block.users === 0) this.arena.release(block.at);
  }

  private checkShape(x: tf.Tensor): [number, number, number, number] {
    const [batch, parts, count, width] = x.shape as [number, number, number, number];
    const [ownBatch, ownParts, ownWidth] = this.shape ?? [batch, parts, width];
    const same = batch === ownBatch && parts === ownParts && width === ownWidth;
    if (x.rank !== 4 || x.dtype !== 'float32' || !same) {
      throw new RangeError(
        `ArenaVectors: x must be float32 [${this.shape ? `${ownBatch},${ownParts},t,${ownWidth}` : 'B,heads,t,C'}], got ${x.dtype} [${x.shape}].`,
      );
    }
    this.shape ??= [batch, parts, width];
    return [batch, parts, count, width];
  }
}
