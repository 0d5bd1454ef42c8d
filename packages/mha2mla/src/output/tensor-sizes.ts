/** Sizes of tensors as a checkpoint lists them. */
import { type Dtype, dtypeBits } from '@mha2mla/checkpoint';

/** Values of all tensors. */
export function tensorElements(tensors: Iterable<{ shape: readonly number[] }>): number {
  let sum = 0;
  for (const { shape } of tensors) sum += shape.reduce((product, size) => product * size, 1);
  return sum;
}

/** Bytes of all tensors, as they are stored. */
export function tensorBytes(tensors: Iterable<{ shape: readonly number[]; dtype: Dtype }>): number {
  let sum = 0;
  for (const tensor of tensors) sum += (tensorElements([tensor]) * dtypeBits(tensor.dtype)) / 8;
  return sum;
}
