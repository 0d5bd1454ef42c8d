/** What a checkpoint stores as integers, for those that take them as they are. */
import type { Dtype } from '../dtype';
import type { TensorInfo } from '../safetensors-header';
import type { PackedRows } from './packed-rows';
import type { Packing } from './packing';

/** How the rows of one matrix are packed. */
export interface PackedRowForm {
  /** Of one integer. */
  bits: number;
  inputs: number;
  /** Inputs that share a scale and a zero, one group after another; all of them where it is `inputs`. */
  groupSize: number;
  /** Of the scales. */
  dtype: Dtype;
}

/** Matrices of GPTQ or AWQ, by the name of what they read as. */
export interface PackedTensors extends Readonly<Packing> {
  /** The tensors that store a matrix; `undefined` of one that is stored as floats. */
  parts(name: string): readonly TensorInfo[] | undefined;
  /** What `readRows` gives; `undefined` of a matrix whose groups may lie in any order, or of floats. */
  form(name: string): PackedRowForm | undefined;
  /**
   * Rows of such a matrix as they are stored.
   * @throws CheckpointError `bad-range`, and `out-of-range` for groups in another order
   */
  readRows(
    name: string,
    rows: readonly [number, number],
    signal?: AbortSignal,
  ): Promise<PackedRows>;
}
