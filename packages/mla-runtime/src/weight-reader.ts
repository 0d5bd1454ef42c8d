import type { WeightPacking } from './packed/packed-matrix';
import type { StoredRows } from './packed/take-over';

/** Where a decoder's weights come from: a checkpoint, or a conversion that has not been saved. */
export interface WeightReader {
  /** The shape of a weight, or `undefined` if there is none of that name. */
  shape(name: string): readonly number[] | undefined;
  /**
   * Read a weight as f32.
   * @throws if it is missing, or has another shape than `expected`.
   */
  read(name: string, expected: readonly number[]): Promise<Float32Array>;
  /**
   * Read rows [first, end) of a weight, along its first dimension, as f32. Without it a weight is read
   * whole before it is packed.
   */
  readRows?(
    name: string,
    expected: readonly number[],
    rows: readonly [number, number],
  ): Promise<Float32Array>;
  /** How a weight is packed where it is stored, if `readStored` can read it. */
  storedPacking?(name: string): WeightPacking | undefined;
  /** Rows [first, end) of such a weight as they are stored. */
  readStored?(
    name: string,
    expected: readonly number[],
    rows: readonly [number, number],
  ): Promise<StoredRows>;
  /** How who loads from here shall keep matrices; dense f32 if absent. */
  readonly packing?: WeightPacking;
}
