/**
 * The rotary angles of cached slots, for scoring keys' bias that is kept out of the cache. Angles
 * are looked up by position: a picture's many tokens share the few positions of its rows and
 * columns, so that a table by position is far smaller than one by slot, and serves all rows.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Segment } from '../attention/attention';
import { pairAxes, type RotaryOptions, rotaryAngles } from '../rotary';
import { PADDING, type TokenLayout } from '../token-layout';
import type { SlotTable } from './slot-table';

/** Fewest positions of a table, which then doubles: it is made anew once in as many tokens. */
const FEWEST_POSITIONS = 256;

export interface AngleLookup {
  /** Cosines, then sines, of all pairs at each position, [positions, H]. */
  table: tf.Tensor2D;
  axes: {
    /** position * B + row of each slot, [B * T], int32; position 0 where a slot is empty. */
    slots: tf.Tensor1D;
    /** [H, 1], 1 for what turns with this axis; absent where all does. */
    pairs?: tf.Tensor2D;
  }[];
}

export class SlotAngles {
  private readonly lookups = new Map<Segment, AngleLookup>();
  private table: tf.Tensor2D | undefined;

  /** @param positions per axis, per row, of each token in sequence order; `last` the highest. */
  private constructor(
    private readonly positions: number[][][],
    private last: number,
  ) {}

  static empty(): SlotAngles {
    return new SlotAngles([], 0);
  }

  /** Take up a prompt's tokens. @param positionIds [axes * B * L]. */
  append(positionIds: Int32Array, { batch, length, kinds }: TokenLayout): void {
    const axes = positionIds.length / (batch * length);
    for (let axis = 0; axis < axes; axis++) {
      this.positions[axis] ??= Array.from({ length: batch }, () => []);
      const rows = this.positions[axis]!;
      for (let i = 0; i < batch * length; i++) {
        if (kinds[i] === PADDING) continue;
        const position = positionIds[axis * batch * length + i]!;
        rows[Math.floor(i / length)]!.push(position);
        this.last = Math.max(this.last, position);
      }
    }
  }

  /** Rotary positions of a segment's slots, [axes * B * T]; 0 where a slot is empty. */
  positionIds(slots: SlotTable): Int32Array {
    return Int32Array.from(this.positions.flatMap((rows) => positionsOf(rows, slots).flat()));
  }

  /** Angles of a segment's slots. They stay the table's, and serve until a token is appended. */
  lookup(segment: Segment, slots: SlotTable, options: RotaryOptions): AngleLookup {
    const found = this.lookups.get(segment);
    const table = this.tableFor(options);
    if (found) {
      if (found.axes[0]!.slots.size === slots.batch * slots.length) return { ...found, table };
      disposeAxes(found);
    }
    const lookup = { table, axes: this.axesOf(slots, options) };
    this.lookups.set(segment, lookup);
    return lookup;
  }

  /** Forget all but the first tokens of each row. */
  rewind(lengths: readonly number[]): void {
    for (const rows of this.positions) {
      for (const [row, positions] of rows.entries()) positions.length = lengths[row]!;
    }
    this.forgetLookups();
  }

  /** Take over the tokens of a fork. */
  restore(fork: SlotAngles): void {
    this.positions.splice(0, this.positions.length, ...fork.positions);
    this.last = fork.last;
    this.forgetLookups();
  }

  fork(): SlotAngles {
    return new SlotAngles(
      this.positions.map((rows) => rows.map((row) => [...row])),
      this.last,
    );
  }

  /** Positions held, of all axes and rows. */
  get count(): number {
    return this.positions.flat().reduce((sum, row) => sum + row.length, 0);
  }

  /** Bytes of the table and of the slots' positions on this backend. */
  get allocatedBytes(): number {
    const slots = [...this.lookups.values()].flatMap(({ axes }) => axes);
    return slots.reduce((sum, axis) => sum + 4 * axis.slots.size, 4 * (this.table?.size ?? 0));
  }

  dispose(): void {
    this.forgetLookups();
    this.table?.dispose();
    this.table = undefined;
  }

  private forgetLookups(): void {
    for (const lookup of this.lookups.values()) disposeAxes(lookup);
    this.lookups.clear();
  }

  private tableFor({ mropeSection: _, ...options }: RotaryOptions): tf.Tensor2D {
    if (this.table && this.last < this.table.shape[0]) return this.table;
    this.table?.dispose();
    let count = FEWEST_POSITIONS;
    while (count <= this.last) count *= 2;
    const { cos, sin } = rotaryAngles(
      Int32Array.from({ length: count }, (_, i) => i),
      count,
      options,
    );
    const half = options.headDim / 2;
    this.table = tf.tidy(() => {
      const rows = [cos, sin].map((values) => tf.tensor2d(values, [count, half]));
      return tf.keep(tf.concat(rows, 1) as tf.Tensor2D);
    });
    return this.table;
  }

  private axesOf(slots: SlotTable, { headDim, mropeSection }: RotaryOptions): AngleLookup['axes'] {
    const perAxis = this.positions.map((rows) =>
      positionsOf(rows, slots).flatMap((own, i) =>
        own.map((position) => position * slots.batch + i),
      ),
    );
    const [first, ...others] = perAxis as [number[], ...number[][]];
    const equal = others.every((axis) => axis.every((slot, i) => slot === first[i]));
    const tensorOf = (axis: number[]) => tf.keep(tf.tensor1d(axis, 'int32'));
    if (equal) return [{ slots: tensorOf(first) }];
    const axisOfPair = [...pairAxes(headDim / 2, mropeSection)];
    return perAxis.map((axis, index) => {
      const own = axisOfPair.map((of) => (of === index ? 1 : 0));
      const pairs = tf.keep(tf.tensor2d([...own, ...own], [headDim, 1]));
      return { slots: tensorOf(axis), pairs };
    });
  }
}

/** Positions of each row's slots on one axis. */
function positionsOf(rows: readonly number[][], slots: SlotTable): number[][] {
  return rows.map((row, i) => slots.positions(i).map((position) => row[position] ?? 0));
}

function disposeAxes({ axes }: AngleLookup): void {
  for (const { slots, pairs } of axes) tf.dispose(pairs ? [slots, pairs] : [slots]);
}
