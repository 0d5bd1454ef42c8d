/**
 * An open checkpoint: the tensors of one or many safetensors files behind one interface. Headers
 * are in memory, weights are read when asked for, whole or by rows.
 */

import { assertRows } from './assert-rows';
import type { ByteSource } from './byte-source';
import { CheckpointError } from './checkpoint-error';
import { decodeFloat32, decodeInt32 } from './decode-tensor';
import { dtypeBits } from './dtype';
import type { PackedTensors } from './packed/packed-tensors';
import { quoteName } from './quote-name';
import type { TensorInfo } from './safetensors-header';

/** Options of `Checkpoint.readFloat32`. */
export interface ReadFloat32Options {
  /** Rows [first, end) along the first dimension; the whole tensor when left out. */
  rows?: readonly [number, number];
  signal?: AbortSignal;
}

/** The tensors of a checkpoint, read when asked for. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
  /** How matrices are stored that are unpacked when read, of `unpackedCheckpoint`. */
  readonly packed?: PackedTensors;
  /** The tensor's bytes as stored. @throws CheckpointError `missing-tensor` */
  readBytes(name: string, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * A floating-point tensor, row-major. @throws CheckpointError `missing-tensor`, `wrong-dtype`,
   * `bad-range` for rows outside of the tensor
   */
  readFloat32(name: string, options?: ReadFloat32Options): Promise<Float32Array>;
  /** An integer or boolean tensor, row-major. @throws CheckpointError also `out-of-range` */
  readInt32(name: string, signal?: AbortSignal): Promise<Int32Array>;
}

/**
 * Makes a checkpoint of checked headers.
 * @param sources by `TensorInfo.file`
 */
export function checkpointOf(
  tensors: ReadonlyMap<string, TensorInfo>,
  metadata: ReadonlyMap<string, string>,
  sources: ReadonlyMap<string, ByteSource>,
): Checkpoint {
  const find = (name: string) => {
    const info = tensors.get(name);
    const source = info && sources.get(info.file);
    if (info === undefined || source === undefined) throw missing(name, tensors);
    return { info, source };
  };
  return {
    tensors,
    metadata,
    async readBytes(name, signal) {
      const { info, source } = find(name);
      return source.read(info.start, info.end, signal);
    },
    async readFloat32(name, { rows, signal } = {}) {
      const { info, source } = find(name);
      const [start, end] = rows === undefined ? [info.start, info.end] : rowSpan(info, rows);
      return decodeFloat32(await source.read(start, end, signal), info.dtype);
    },
    async readInt32(name, signal) {
      const { info, source } = find(name);
      return decodeInt32(await source.read(info.start, info.end, signal), info.dtype);
    },
  };
}

/** Byte range of rows [first, end) of a tensor. */
function rowSpan(info: TensorInfo, rows: readonly [number, number]): [number, number] {
  assertRows(info, rows);
  const rowElements = info.shape.slice(1).reduce((product, dim) => product * dim, 1);
  const rowBytes = (rowElements * dtypeBits(info.dtype)) / 8;
  return [info.start + rows[0] * rowBytes, info.start + rows[1] * rowBytes];
}

function missing(name: string, tensors: ReadonlyMap<string, TensorInfo>): CheckpointError {
  const shown = [...tensors.keys()].slice(0, 5).map(quoteName).join(', ');
  return new CheckpointError(
    'missing-tensor',
    `Checkpoint: tensor ${quoteName(name)} must be in the checkpoint, got ${tensors.size} others, such as ${shown}.`,
  );
}
