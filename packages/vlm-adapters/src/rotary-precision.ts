/**
 * The precision of rotary frequencies. Models run with those of float32; the reference's loader
 * casts a converted model whole, its frequencies with it, so a model in its form is run with what
 * is left of them.
 */
import {
  configValue,
  type Dtype,
  decodeFloat32,
  encodeTensor,
  type ModelConfig,
  type ModelDtype,
} from '@mha2mla/checkpoint';

const CASTS: Partial<Record<ModelDtype, Dtype>> = { bfloat16: 'BF16', float16: 'F16' };

/** @returns the frequencies as the model's author computed with them. */
export function authoredFrequencies(
  frequencies: Float32Array,
  { mha2mla, dtype }: Pick<ModelConfig, 'mha2mla' | 'dtype'>,
): Float32Array {
  // Ours always says `groups`, the reference never.
  const byReference = mha2mla !== undefined && configValue(mha2mla, 'groups') === undefined;
  const cast = byReference ? CASTS[dtype] : undefined;
  return cast ? decodeFloat32(encodeTensor(frequencies, cast), cast) : frequencies;
}
