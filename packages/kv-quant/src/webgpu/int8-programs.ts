/** Symmetric 8 bits on webgpu. */
import type * as tf from '@tensorflow/tfjs-core';
import { type PackedLayout, packedShapes } from '../packed-layout';
import { CODE_AT, CODE_WORDS, describeLayout, GROUP_OF, PARAM_AT } from './group-places';
import { INT8_WGSL } from './int8-wgsl';
import { paramWgsl } from './param-wgsl';
import { SMALL_FLOAT } from './small-float';
import { runElements, type WebGpuBackend } from './webgpu-kernel';

const PARAMS = /* wgsl */ `
fn element(i : i32) -> i32 { return bitcast<i32>(param_of(group_of(i))); }`;

const CODES = /* wgsl */ `
fn code_for(row : i32, c : i32) -> u32 {
  return int8_code(x[row * uniforms.channels + c], bitcast<u32>(params[param_at(row, c)]));
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
    code: INT8_WGSL + GROUP_OF.token + paramWgsl(layout) + PARAMS,
  });
  const codes = runElements(backend, {
    key: 'int8Codes',
    shape: shapes[0]!,
    dtype: 'int32',
    inputs: { x, params },
    integers,
    code: constants + INT8_WGSL + PARAM_AT.token + CODES + CODE_WORDS,
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
