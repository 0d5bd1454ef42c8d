/** Affine quantization on webgpu, with the words of the other backends to the bit. */
import type * as tf from '@tensorflow/tfjs-core';
import { type PackedLayout, packedShapes } from '../packed-layout';
import { AFFINE_WGSL } from './affine-wgsl';
import { CODE_AT, CODE_WORDS, describeLayout, GROUP_OF, PARAM_AT } from './group-places';
import { runElements, type WebGpuBackend } from './webgpu-kernel';

/** Scale and zero point that span a group. */
const SPAN = /* wgsl */ `
/** Bits of NaN in both halves where a value is not finite. */
fn span_param(group : vec3<i32>) -> u32 {
  var least = 0xffffffffu;
  var most = 0u;
  for (var j = 0; j < group.y; j++) {
    let bits = bitcast<u32>(x[group.x + j * group.z]);
    if (!is_finite(bits)) { return NAN_PARAM; }
    least = min(least, sortable(bits));
    most = max(most, sortable(bits));
  }
  return affine_param(least, most, LEVELS);
}`;

const AFFINE = /* wgsl */ `
fn element(i : i32) -> i32 { return bitcast<i32>(span_param(group_of(i))); }`;

const CODES = /* wgsl */ `
fn code_for(row : i32, c : i32) -> u32 {
  let value = x[row * uniforms.channels + c];
  return affine_code(value, bitcast<u32>(params[param_at(row, c)]), LEVELS);
}`;

const VALUES = /* wgsl */ `
fn element(i : i32) -> f32 {
  let row = i / uniforms.channels;
  let c = i % uniforms.channels;
  let param = bitcast<u32>(params[param_at(row, c)]);
  if ((param & 0x7c00u) == 0x7c00u) { return uniforms.NAN; }
  return affine_value(code_at(row, c), param);
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
    code: constants + AFFINE_WGSL + GROUP_OF[axis] + SPAN + code,
  });
  const codes = runElements(backend, {
    key: `affineCodes ${key}`,
    shape: shapes[0]!,
    dtype: 'int32',
    inputs: { x, params },
    integers,
    code: constants + AFFINE_WGSL + PARAM_AT[axis] + CODES + CODE_WORDS,
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
    code: constants + AFFINE_WGSL + PARAM_AT[axis] + CODE_AT + VALUES,
  });
}
