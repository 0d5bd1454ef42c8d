/** Tensors that a conversion keeps: copied byte for byte, or cast where a precision was asked for. */
import type { Checkpoint, Dtype, TensorEntry, TensorInfo, TensorValues } from '@mha2mla/checkpoint';
import { roundValues } from './round-values';

/** What a cast changes. Integers, such as position ids of older CLIP towers, stay as they are. */
const FLOATS: readonly Dtype[] = ['F64', 'F32', 'F16', 'BF16'];

/** How a kept tensor is written. @param dtype a precision that was asked for. */
export function keptEntry(
  { name, shape, dtype: own }: TensorInfo,
  dtype: Dtype | undefined,
): TensorEntry {
  return { name, shape, dtype: dtype && FLOATS.includes(own) ? dtype : own };
}

/**
 * Read a kept tensor: its stored bytes, or floats that the writer is to cast.
 * @throws RangeError for a value beyond the precision that was asked for.
 */
export async function readKept(
  checkpoint: Checkpoint,
  { name, dtype }: TensorEntry,
): Promise<TensorValues> {
  const same = checkpoint.tensors.get(name)?.dtype === dtype;
  if (same) return checkpoint.readBytes(name);
  return roundValues(name, await checkpoint.readFloat32(name), dtype);
}
