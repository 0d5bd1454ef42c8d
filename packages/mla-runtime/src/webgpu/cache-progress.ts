/** How far a recorded step has filled a copied cache, row by row, and what it tells the device of it. */
import { CHUNK } from '../kernels/attend-latents';
import type { DeviceCache } from './device-cache';
import { NOTHING, STEP_WORDS, stepWords } from './wgsl-program';

interface RowProgress {
  lengths: number[];
  stored: number[];
}

export class CacheProgress {
  private readonly rows: readonly RowProgress[];
  private slots: number;
  private storedSlots: number;

  constructor(private readonly copy: DeviceCache) {
    const { rows, slots, storedSlots } = copy.parts;
    this.rows = rows.map(({ lengths, stored }) => ({ lengths: [...lengths], stored: [...stored] }));
    this.slots = slots;
    this.storedSlots = storedSlots;
  }

  /** [B], tokens of the last segment. */
  get lengths(): number[] {
    return this.rows.map(({ lengths }) => lengths.at(-1)!);
  }

  get isFull(): boolean {
    return Math.max(...this.lengths) >= this.copy.parts.room.capacities.at(-1)!;
  }

  /**
   * Take up a token a row.
   * @param output takes the steps of all rows.
   * @returns the most chunks of a row.
   */
  next(output: Uint32Array, draw: { temperature?: number; uniform?: number }): number {
    const leaving = this.takeSlot();
    let most = 0;
    for (const [row, { lengths, stored }] of this.rows.entries()) {
      const { positions, stored: first } = this.copy.parts.rows[row]!;
      const last = lengths.length - 1;
      const slot = lengths[last]!++;
      const isLeaving = leaving !== undefined && !(positions[leaving]! < 0); // or not of the row
      const packed = isLeaving ? stored[last]!++ : NOTHING;
      const window = lengths.map((length, m) => length - stored[m]!);
      const chunks = lengths.flatMap((_, m) =>
        [stored[m]!, window[m]!].map((count) => Math.ceil(count / CHUNK)),
      );
      const words = stepWords({ stored, window, chunks, first, slot, packed, ...draw });
      output.set(words, row * STEP_WORDS);
      most = Math.max(
        most,
        chunks.reduce((sum, count) => sum + count, 0),
      );
    }
    return most;
  }

  /** Fill a slot of all rows. @returns the slot that leaves the exact window with it. */
  private takeSlot(): number | undefined {
    this.slots++;
    if (this.slots - this.storedSlots <= this.copy.parts.residualLength) return undefined;
    return this.storedSlots++;
  }
}
