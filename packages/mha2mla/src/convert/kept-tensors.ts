/**
 * Tensors that a conversion keeps: copied byte for byte, integers of a packed matrix too, or cast where
 * a precision was asked for.
 */
import type { Checkpoint, Dtype, TensorEntry, TensorInfo, TensorValues } from '@mha2mla/checkpoint';
import type { ConversionPlan } from './convert-options';
import { roundValues } from './round-values';

/** What a cast changes. Integers, such as position ids of older CLIP towers, stay as they are. */
const FLOATS: readonly Dtype[] = ['F64', 'F32', 'F16', 'BF16'];

/** What is to be written how. */
export type KeptPlan = Pick<ConversionPlan, 'dtype' | 'layout'>;

/** Attention is in floats as a whole: healing trains it. */
const ATTENTION = /\.self_attn\./;

/** How a kept tensor is written: as one, or as those that store a packed matrix. */
export function keptEntries(
  checkpoint: Checkpoint,
  { name, shape, dtype: own }: TensorInfo,
  { dtype, layout }: KeptPlan,
): TensorEntry[] {
  const staysPacked = !dtype && layout !== 'reference' && !ATTENTION.test(name);
  const parts = staysPacked ? checkpoint.packed?.parts(name) : undefined;
  if (parts)
    return parts.map((part) => ({ name: part.name, shape: part.shape, dtype: part.dtype }));
  return [{ name, shape, dtype: dtype && FLOATS.includes(own) ? dtype : own }];
}

/** Whether this one of them is the integers of a packed matrix. */
export function isPackedEntry({ name }: Pick<TensorEntry, 'name'>): boolean {
  return /\.qweight$/.test(name);
}

/**
 * Read a kept tensor: its stored bytes, or floats that the writer is to cast.
 * @throws RangeError for a value beyond the precision that was asked for.
 */
export async function readKept(
  checkpoint: Checkpoint,
  { name, dtype }: TensorEntry,
): Promise<TensorValues> {
  const own = checkpoint.tensors.get(name); // none of what stores a packed matrix
  if (!own || own.dtype === dtype) return checkpoint.readBytes(name);
  return roundValues(name, await checkpoint.readFloat32(name), dtype);
}
