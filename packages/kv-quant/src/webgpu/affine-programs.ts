/**
 * Affine quantization on webgpu, with the words of the other backends to the bit. Where a rounded
 * quotient decides, it is compared by exact products, since WGSL's division may be off by 2.5 units
 * in the last place.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { type PackedLayout, packedShapes } from '../packed-layout';
import { HALF_FLOAT } from './half-float';
import { runElements, type WebGpuBackend } from './webgpu-kernel';

/** Scale and zero point of each group. One thread a group: its values are read once. */
const PARAMS = /* wgsl */ `
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

fn element(i : i32) -> i32 {
  let group = group_of(i);
  var least = 0xffffffffu;
  var most = 0u;
  for (var j = 0; j < group.y; j++) {
    let bits = bitcast<u32>(x[group.x + j * group.z]);
    if ((bits & 0x7f800000u) == 0x7f800000u) { return 0x7e007e00; } // NaN in both
    least = min(least, sortable(bits));
    most = max(most, sortable(bits));
  }
  let zero = half_below(unsorted(least));
  return bitcast<i32>(scale_half(zero, unsorted(most)) | (zero << 16u));
}`;

/** First value of a group, their number, and the distance from one to the next. */
const GROUP_OF = {
  token: /* wgsl */ `
fn group_of(i : i32) -> vec3<i32> {
  let start = i % uniforms.groups * uniforms.groupSize;
  let row = i / uniforms.groups * uniforms.channels;
  return vec3(row + start, min(uniforms.groupSize, uniforms.channels - start), 1);
}`,
  channel: /* wgsl */ `
fn group_of(i : i32) -> vec3<i32> {
  let group = i / uniforms.channels;
  let start = group % uniforms.groups * uniforms.groupSize;
  let token = group / uniforms.groups * uniforms.tokens + start;
  let count = min(uniforms.groupSize, uniforms.tokens - start);
  return vec3(token * uniforms.channels + i % uniforms.channels, count, uniforms.channels);
}`,
};

/** The word of params of a row's channel. */
const PARAM_AT = {
  token: /* wgsl */ `
fn param_at(row : i32, c : i32) -> i32 { return row * uniforms.groups + c / uniforms.groupSize; }`,
  channel: /* wgsl */ `
fn param_at(row : i32, c : i32) -> i32 {
  let group = row / uniforms.tokens * uniforms.groups + row % uniforms.tokens / uniforms.groupSize;
  return group * uniforms.channels + c;
}`,
};

/** Words of codes. One thread a word, which the codes at its ends may reach over. */
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

fn element(i : i32) -> i32 {
  let row = i / uniforms.words;
  let bit = i % uniforms.words * 32;
  var word = 0u;
  let end = min((bit + 31) / BITS + 1, uniforms.channels);
  for (var c = bit / BITS; c < end; c++) {
    let param = bitcast<u32>(params[param_at(row, c)]);
    if ((param & 0x7c00u) == 0x7c00u) { continue; }
    let value = x[row * uniforms.channels + c];
    let d = select(value - half_value(param >> 16u), value, param >> 16u == 0u);
    let code = code_of(d, half_value(param & 0xffffu));
    let shift = c * BITS - bit;
    word |= select(code >> u32(-shift), code << u32(shift), shift >= 0);
  }
  return bitcast<i32>(word);
}`;

const VALUES = /* wgsl */ `
fn element(i : i32) -> f32 {
  let row = i / uniforms.channels;
  let c = i % uniforms.channels;
  let param = bitcast<u32>(params[param_at(row, c)]);
  if ((param & 0x7c00u) == 0x7c00u) { return uniforms.NAN; }
  let bit = c * BITS;
  let at = row * uniforms.words + bit / 32;
  let shift = u32(bit % 32);
  var code = bitcast<u32>(codes[at]) >> shift;
  if (shift + u32(BITS) > 32u) { code |= bitcast<u32>(codes[at + 1]) << (32u - shift); }
  code &= (1u << u32(BITS)) - 1u;
  return f32(code) * half_value(param & 0xffffu) + half_value(param >> 16u);
}`;

/** @returns words of codes and of params. */
export function packAffine(
  backend: WebGpuBackend,
  x: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo[] {
  const shapes = packedShapes(x.shape, layout);
  const { key, integers, constants, axis } = describe(layout);
  const params = runElements(backend, {
    key: `affineParams ${key}`,
    shape: shapes[1]!,
    dtype: 'int32',
    inputs: { x },
    integers,
    code: constants + HALF_FLOAT + GROUP_OF[axis] + PARAMS,
  });
  const codes = runElements(backend, {
    key: `affineCodes ${key}`,
    shape: shapes[0]!,
    dtype: 'int32',
    inputs: { x, params },
    integers,
    code: constants + HALF_FLOAT + PARAM_AT[axis] + CODES,
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
  const { key, integers, constants, axis } = describe(layout);
  return runElements(backend, {
    key: `affineValues ${key}`,
    shape: [...codes.shape.slice(0, -1), layout.channels],
    dtype: 'float32',
    inputs: { codes, params },
    integers,
    code: constants + HALF_FLOAT + PARAM_AT[axis] + VALUES,
  });
}

function describe({
  axis,
  bits,
  channels,
  groupSize,
  paramRows,
  paramWidth,
  tokens,
  words,
}: PackedLayout) {
  const groups = axis === 'token' ? paramWidth : paramRows;
  return {
    axis,
    key: `${bits} ${axis}`,
    integers: { channels, groupSize, words, groups, tokens },
    constants: `const BITS = ${bits};\nconst LEVELS = ${2 ** bits - 1}.0;\n`,
  };
}
