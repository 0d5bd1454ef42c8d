/** Symmetric 8 bits on webgpu; scales are those of the other backends to the bit. */
import type * as tf from '@tensorflow/tfjs-core';
import { bitsOfFloat } from '../kernels/half-float';
import { INT8_MAX_SCALE } from '../kernels/int8-max-scale';
import { type PackedLayout, packedShapes } from '../packed-layout';
import { CODE_AT, CODE_WORDS, describeLayout, GROUP_OF, LARGEST, PARAM_AT } from './group-places';
import { SMALL_FLOAT } from './small-float';
import { runElements, type WebGpuBackend } from './webgpu-kernel';

/** WGSL's division may be off by 2.5 units in the last place; that of integers is not. */
const SCALES = /* wgsl */ `
/** Bits of a positive float32, divided by 127: ties to even. */
fn divided(bits : u32) -> u32 {
  let is_normal = bits >= 0x00800000u;
  let fraction = select(bits, (bits & 0x7fffffu) | 0x800000u, is_normal);
  let zeros = countLeadingZeros(fraction);
  let dividend = fraction << zeros;
  let quotient = dividend / 127u; // 25 or 26 bits
  var lost_bits = select(1u, 2u, quotient >= 0x2000000u);
  var exponent = i32(max(bits >> 23u, 1u)) - i32(zeros) + i32(lost_bits);
  if (exponent < 1) { // subnormal
    lost_bits += u32(1 - exponent);
    exponent = 1;
  }
  if (lost_bits > 26u) { return 0u; }
  let kept = quotient >> lost_bits;
  let lost = quotient & ((1u << lost_bits) - 1u);
  let tie = 1u << (lost_bits - 1u);
  let above = lost > tie || (lost == tie && (dividend % 127u != 0u || (kept & 1u) == 1u));
  return (u32(exponent - 1) << 23u) + kept + select(0u, 1u, above);
}

fn element(i : i32) -> i32 {
  let largest = largest_of(group_of(i));
  if (largest == 0u) { return 0; }
  if (largest >= 0x7f800000u) { return 0x7fc00000; } // NaN
  return bitcast<i32>(min(divided(largest), ${bitsOfFloat(INT8_MAX_SCALE)}u));
}`;

const CODES = /* wgsl */ `
fn code_for(row : i32, c : i32) -> u32 {
  let scale = bitcast<u32>(params[param_at(row, c)]);
  if (scale == 0u || scale >= 0x7f800000u) { return 0u; }
  let small = is_small(scale);
  let value = lifted(bitcast<u32>(x[row * uniforms.channels + c]), small);
  return u32(i32(clamp(round(value / lifted(scale, small)), -127.0, 127.0))) & 255u;
}`;

const VALUES = /* wgsl */ `
fn element(i : i32) -> f32 {
  let row = i / uniforms.channels;
  let c = i % uniforms.channels;
  let scale = bitcast<u32>(params[param_at(row, c)]);
  if (scale >= 0x7f800000u) { return uniforms.NAN; }
  let code = bitcast<i32>(code_at(row, c) << 24u) >> 24u; // sign kept
  let small = is_small(scale);
  return bitcast<f32>(lowered(f32(code) * lifted(scale, small), small));
}`;

/** @returns words of codes and of params. */
export function packInt8(
  backend: WebGpuBackend,
  x: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo[] {
  const shapes = packedShapes(x.shape, layout);
  const { integers, constants } = describeLayout(layout);
  const params = runElements(backend, {
    key: 'int8Params',
    shape: shapes[1]!,
    dtype: 'int32',
    inputs: { x },
    integers,
    code: GROUP_OF.token + LARGEST + SCALES,
  });
  const codes = runElements(backend, {
    key: 'int8Codes',
    shape: shapes[0]!,
    dtype: 'int32',
    inputs: { x, params },
    integers,
    code: constants + SMALL_FLOAT + PARAM_AT.token + CODES + CODE_WORDS,
  });
  return [codes, params];
}

/** @returns values. */
export function unpackInt8(
  backend: WebGpuBackend,
  codes: tf.TensorInfo,
  params: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo {
  const { integers, constants } = describeLayout(layout);
  return runElements(backend, {
    key: 'int8Values',
    shape: [...codes.shape.slice(0, -1), layout.channels],
    dtype: 'float32',
    inputs: { codes, params },
    integers,
    code: constants + SMALL_FLOAT + PARAM_AT.token + CODE_AT + VALUES,
  });
}
