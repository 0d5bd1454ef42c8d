/**
 * Which sequence position each cached slot of a segment holds, for every row of a batch. All rows
 * share slot numbers; a row with fewer tokens of a segment has empty slots, which are masked.
 */
import * as tf from '@tensorflow/tfjs-core';
import { MASKED } from '../attention/causal-attention';

const EMPTY = -1;

export class SlotTable {
  /** Per row, the sequence position of each slot, or EMPTY. */
  private readonly rows: number[][];
  private hasEmpty = false;
  private cachedMask: tf.Tensor3D | undefined;

  constructor(readonly batch: number) {
    this.rows = Array.from({ length: batch }, () => []);
  }

  get length(): number {
    return this.rows[0]!.length;
  }

  /** Sequence positions of a row's slots, in slot order; -1 where a slot is empty. */
  positions(row: number): readonly number[] {
    return this.rows[row]!;
  }

  /** Append one slot list a row; shorter lists are filled with empty slots. */
  append(positions: readonly (readonly number[])[]): void {
    const longest = Math.max(...positions.map((list) => list.length));
    for (const [row, list] of positions.entries()) {
      this.rows[row]!.push(...list);
      for (let i = list.length; i < longest; i++) this.rows[row]!.push(EMPTY);
      if (list.length < longest) this.hasEmpty = true;
    }
    this.forgetMask();
  }

  /** [B, 1, T], 0 or MASKED; `undefined` when every slot is filled. Owned by the table. */
  mask(): tf.Tensor3D | undefined {
    if (!this.hasEmpty) return undefined;
    this.cachedMask ??= tf.keep(
      tf.tensor3d(
        Float32Array.from(this.rows.flat(), (position) => (position === EMPTY ? MASKED : 0)),
        [this.batch, 1, this.length],
      ),
    );
    return this.cachedMask;
  }

  /**
   * What each of several new tokens sees: itself and what stands before it in its row.
   * @param queries [B * L], their sequence positions.
   * @returns [B, 1, L, T], 0 or MASKED; the caller disposes it.
   */
  causalMask(queries: Int32Array): tf.Tensor4D {
    const length = queries.length / this.batch;
    const mask = new Float32Array(queries.length * this.length);
    for (const [i, query] of queries.entries()) {
      const slots = this.rows[Math.floor(i / length)]!;
      for (const [slot, position] of slots.entries()) {
        if (position === EMPTY || position > query) mask[i * this.length + slot] = MASKED;
      }
    }
    return tf.tensor4d(mask, [this.batch, 1, length, this.length]);
  }

  /**
   * Forget all but the first tokens of each row. Slots that no row fills any more are gone, where
   * they are the last.
   */
  rewind(lengths: readonly number[]): void {
    for (const [row, slots] of this.rows.entries()) {
      for (const [slot, position] of slots.entries()) {
        if (position >= lengths[row]!) slots[slot] = EMPTY;
      }
    }
    while (this.length > 0 && this.rows.every((slots) => slots.at(-1) === EMPTY)) {
      for (const slots of this.rows) slots.pop();
    }
    this.hasEmpty = this.rows.some((slots) => slots.includes(EMPTY));
    this.forgetMask();
  }

  /** Take over the slots of a fork. */
  restore(fork: SlotTable): void {
    this.rows.splice(0, this.batch, ...fork.rows);
    this.hasEmpty = fork.hasEmpty;
    this.forgetMask();
  }

  fork(): SlotTable {
    const copy = new SlotTable(this.batch);
    copy.rows.splice(0, this.batch, ...this.rows.map((row) => [...row]));
    copy.hasEmpty = this.hasEmpty;
    return copy;
  }

  dispose(): void {
    this.forgetMask();
  }

  private forgetMask(): void {
    this.cachedMask?.dispose();
    this.cachedMask = undefined;
  }
}
