/**
 * A checkpoint of GPTQ or AWQ, read as if it stored floats: `X.qweight` and what belongs to it become
 * `X.weight`, unpacked when read.
 */
import { assertRows } from '../assert-rows';
import type { Checkpoint, ReadFloat32Options } from '../checkpoint';
import type { ConfigRecord } from '../config-values';
import { decodeFloat32 } from '../decode-tensor';
import { encodeTensor } from '../encode-tensor';
import type { TensorInfo } from '../safetensors-header';
import { findPackedMatrix, PACKED_PARTS, type PackedMatrix } from './packed-matrix';
import { packedRows } from './packed-rows';
import type { PackedTensors } from './packed-tensors';
import { type Packing, readPacking } from './packing';
import { type PackedValues, readPacked } from './read-packed';
import { unpackRows } from './unpack-rows';

/**
 * Reads packed matrices [O, I] as floats of their scales' precision, the values that AutoGPTQ and
 * AutoAWQ compute with. Other tensors are as they were. Where in its file an `X.weight` lies is where
 * its integers do.
 * @param config `quantization_config` of config.json
 * @throws CheckpointError of `readPacking`; `missing-tensor`, `wrong-shape`, `wrong-dtype`,
 *   `duplicate-key` for a matrix; when read, `out-of-range`
 */
export function unpackedCheckpoint(
  checkpoint: Checkpoint,
  config: ConfigRecord,
): Checkpoint & { packed: PackedTensors } {
  const packing = readPacking(config);
  const matrices = new Map<string, PackedMatrix>();
  const tensors = new Map<string, TensorInfo>(checkpoint.tensors);
  for (const info of checkpoint.tensors.values()) {
    if (!/(^|\.)qweight$/.test(info.name)) continue;
    const matrix = findPackedMatrix(checkpoint, info, packing);
    const { prefix, outputs, inputs, dtype } = matrix;
    for (const part of PACKED_PARTS) tensors.delete(prefix + part);
    const name = `${prefix}weight`;
    tensors.set(name, { ...info, name, shape: [outputs, inputs], dtype });
    matrices.set(name, matrix);
  }
  const valuesOf = lastValues(checkpoint, packing);
  const read = async (
    name: string,
    matrix: PackedMatrix,
    { rows = [0, matrix.outputs], signal }: ReadFloat32Options,
  ): Promise<Uint8Array> => {
    assertRows(tensors.get(name)!, rows);
    const values = unpackRows(matrix, packing, await valuesOf(matrix, rows, signal), rows);
    return encodeTensor(values, matrix.dtype);
  };
  const packed: PackedTensors = {
    ...packing,
    parts(name) {
      const { prefix } = matrices.get(name) ?? {};
      if (prefix === undefined) return undefined;
      const parts = PACKED_PARTS.map((part) => checkpoint.tensors.get(prefix + part));
      return parts.filter((part) => part !== undefined);
    },
    form(name) {
      const matrix = matrices.get(name);
      if (!matrix?.inOrder) return undefined;
      const { inputs, groups, dtype } = matrix;
      const groupSize = groups === 1 ? inputs : packing.groupSize;
      return { bits: packing.bits, inputs, groupSize, dtype };
    },
    async readRows(name, rows, signal) {
      const matrix = matrices.get(name)!;
      assertRows(tensors.get(name)!, rows);
      return packedRows(matrix, packing, await valuesOf(matrix, rows, signal), rows);
    },
  };
  return {
    packed,
    tensors,
    metadata: checkpoint.metadata,
    async readBytes(name, signal) {
      const matrix = matrices.get(name);
      return matrix
        ? read(name, matrix, { ...(signal && { signal }) })
        : checkpoint.readBytes(name, signal);
    },
    async readFloat32(name, options = {}) {
      const matrix = matrices.get(name);
      if (!matrix) return checkpoint.readFloat32(name, options);
      return decodeFloat32(await read(name, matrix, options), matrix.dtype);
    },
    readInt32: (name, signal) => checkpoint.readInt32(name, signal),
  };
}

/**
 * A reader of a matrix's tensors that keeps the last one until its last rows are asked for: blocks of
 * them are, in turn.
 */
function lastValues(checkpoint: Checkpoint, packing: Packing) {
  let last: { matrix: PackedMatrix; values: PackedValues } | undefined;
  return async (
    matrix: PackedMatrix,
    [, end]: readonly [number, number],
    signal: AbortSignal | undefined,
  ): Promise<PackedValues> => {
    const kept = last?.matrix === matrix ? last.values : undefined;
    last = undefined;
    const values = kept ?? (await readPacked(checkpoint, matrix, packing, signal));
    if (end < matrix.outputs) last = { matrix, values };
    return values;
  };
}
