/**
 * Affine quantization on webgpu, with the words of the other backends to the bit. Where a rounded
 * quotient decides, it is compared by exact products, since WGSL's division may be off by 2.5 units
 * in the last place.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { type PackedLayout, packedShapes } from '../packed-layout';
import { CODE_AT, CODE_WORDS, describeLayout, GROUP_OF, PARAM_AT } from './group-places';
import { HALF_FLOAT } from './half-float';
import { runElements, type WebGpuBackend } from './webgpu-kernel';

/** Scale and zero point that span a group. */
const SPAN = /* wgsl */ `
/** Unsigned integers in the order of the numbers that they are the bits of. */
fn sortable(bits : u32) -> u32 { return select(bits | 0x80000000u, ~bits, bits >> 31u == 1u); }
fn unsorted(key : u32) -> u32 { return select(~key, key & 0x7fffffffu, key >> 31u == 1u); }

/** Whether range / LEVELS, rounded to f32, is not above a half; products are exact. */
fn covers(half : u32, range : f32) -> bool {
  let value = half_value(half);
  let unit = bitcast<f32>(bitcast<u32>(value) & 0x7f800000u) * 0x1p-24f; // half of one
  return half > 0u && range - value * LEVELS <= LEVELS * unit;
}

fn scale_half(least : u32, most : u32) -> u32 {
  var range = most; // its bits
  if (least != 0u) { range = bitcast<u32>(bitcast<f32>(most) - half_value(least)); }
  if (range >> 31u == 1u) { return 0u; }
  if (range < 0x00800000u) { return select(0u, 1u, 2u * range > u32(LEVELS)); }
  let value = bitcast<f32>(range);
  var half = max(half_truncated(bitcast<u32>(value / LEVELS)).x, 2u) - 2u;
  while (half < MAX_HALF && !covers(half, value)) { half++; }
  return half;
}

/** Bits of NaN in both halves where a value is not finite. */
fn span_param(group : vec3<i32>) -> u32 {
  var least = 0xffffffffu;
  var most = 0u;
  for (var j = 0; j < group.y; j++) {
    let bits = bitcast<u32>(x[group.x + j * group.z]);
    if ((bits & 0x7f800000u) == 0x7f800000u) { return 0x7e007e00u; }
    least = min(least, sortable(bits));
    most = max(most, sortable(bits));
  }
  let zero = half_below(unsorted(least));
  return scale_half(zero, unsorted(most)) | (zero << 16u);
}`;

const AFFINE = /* wgsl */ `
fn element(i : i32) -> i32 { return bitcast<i32>(span_param(group_of(i))); }`;

/** Codes against the stored scale and zero point. */
const CODES = /* wgsl */ `
/** round(d / scale), the quotient rounded to f32 before, ties to even, from 0 to LEVELS; x / 0 is infinite. */
fn code_of(d : f32, scale : f32) -> u32 {
  let positive = bitcast<u32>(d) - 1u < 0x7f800000u; // subnormals too
  if (!positive || scale == 0.0) { return select(0u, u32(LEVELS), positive); }
  let floor_code = floor(min(d / scale, LEVELS)); // one too low at most, where d is near a multiple
  let middle = floor_code + 0.5;
  let above = d - middle * scale; // the product is exact, and the difference where it is small
  let unit = scale * bitcast<f32>(bitcast<u32>(middle) & 0x7f800000u) * 0x1p-24f; // half of one
  let code = u32(floor_code);
  let rounded = select(select(code, code + 1u, above > 0.0), code + (code & 1u), abs(above) <= unit);
  return min(rounded, u32(LEVELS));
}

fn code_for(row : i32, c : i32) -> u32 {
  let param = bitcast<u32>(params[param_at(row, c)]);
  if ((param & 0x7c00u) == 0x7c00u) { return 0u; }
  let value = x[row * uniforms.channels + c];
  let d = select(value - half_value(param >> 16u), value, param >> 16u == 0u);
  return code_of(d, half_value(param & 0xffffu));
}`;

const VALUES = /* wgsl */ `
fn element(i : i32) -> f32 {
  let row = i / uniforms.channels;
  let c = i % uniforms.channels;
  let param = bitcast<u32>(params[param_at(row, c)]);
  if ((param & 0x7c00u) == 0x7c00u) { return uniforms.NAN; }
  return f32(code_at(row, c)) * half_value(param & 0xffffu) + half_value(param >> 16u);
}`;

/** @returns words of codes and of params. */
export function packAffine(
  backend: WebGpuBackend,
  x: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo[] {
  return packBySpan(backend, x, layout, 'affine', AFFINE);
}

/**
 * Scale and zero point as `code` says, then codes. One thread a group, then one a word.
 * @param name of what `code` computes.
 * @param code `element(i)` for the word of params of group i, from `group_of` and `span_param`.
 */
export function packBySpan(
  backend: WebGpuBackend,
  x: tf.TensorInfo,
  layout: PackedLayout,
  name: string,
  code: string,
): tf.TensorInfo[] {
  const shapes = packedShapes(x.shape, layout);
  const { key, integers, constants, axis } = describeLayout(layout);
  const params = runElements(backend, {
    key: `${name}Params ${key}`,
    shape: shapes[1]!,
    dtype: 'int32',
    inputs: { x },
    integers,
    code: constants + HALF_FLOAT + GROUP_OF[axis] + SPAN + code,
  });
  const codes = runElements(backend, {
    key: `affineCodes ${key}`,
    shape: shapes[0]!,
    dtype: 'int32',
    inputs: { x, params },
    integers,
    code: constants + HALF_FLOAT + PARAM_AT[axis] + CODES + CODE_WORDS,
  });
  return [codes, params];
}

/** @returns values. */
export function unpackAffine(
  backend: WebGpuBackend,
  codes: tf.TensorInfo,
  params: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo {
  const { key, integers, constants, axis } = describeLayout(layout);
  return runElements(backend, {
    key: `affineValues ${key}`,
    shape: [...codes.shape.slice(0, -1), layout.channels],
    dtype: 'float32',
    inputs: { codes, params },
    integers,
    code: constants + HALF_FLOAT + PARAM_AT[axis] + CODE_AT + VALUES,
  });
}
