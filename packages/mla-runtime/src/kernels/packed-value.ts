/** WGSL that takes a value out of a packed word. */
import type { WeightFormat } from '../webgpu/weight-format';

/** Body of `fn value(word : u32, k : u32) -> f32`, the k-th value of a word without its scale. */
export const PACKED_VALUE: Record<WeightFormat, string> = {
  f32: 'return bitcast<f32>(word);',
  f16: 'return unpack2x16float(word)[k];',
  int8: 'return f32(extractBits(bitcast<i32>(word), 8u * k, 8u));',
  int4: 'return f32(extractBits(bitcast<i32>(word), 4u * k, 4u));',
};
