/** Affine quantization and HQQ on webgpu, with the words of the other backends to the bit. */
import type * as tf from '@tensorflow/tfjs-core';
import { type PackedLayout, packedShapes } from '../packed-layout';
import { AFFINE_WGSL } from './codes-wgsl';
import { CODE_AT, CODE_WORDS, describeLayout, GROUP_OF, PARAM_AT } from './group-places';
import { paramWgsl } from './param-wgsl';
import { runElements, type WebGpuBackend } from './webgpu-kernel';

const PARAMS = /* wgsl */ `
fn element(i : i32) -> i32 { return bitcast<i32>(param_of(group_of(i))); }`;

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

/** Of affine and hqq. One thread a group, then one a word. @returns words of codes and of params. */
export function packAffine(
  backend: WebGpuBackend,
  x: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo[] {
  const shapes = packedShapes(x.shape, layout);
  const { key, integers, constants, axis } = describeLayout(layout);
  const params = runElements(backend, {
    key: `${layout.method}Params ${key}`,
    shape: shapes[1]!,
    dtype: 'int32',
    inputs: { x },
    integers,
    code: AFFINE_WGSL + GROUP_OF[axis] + paramWgsl(layout) + PARAMS,
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
