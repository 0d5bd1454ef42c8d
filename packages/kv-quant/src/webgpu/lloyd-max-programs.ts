/**
 * Codebooks on webgpu. Each turned value is a sum over its block, in one dispatch, where a butterfly
 * would take one a power of two: 512 products a value are few beside what attention does with it.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { lloydMaxBorders, lloydMaxCentroids } from '../kernels/lloyd-max-codebook';
import { type PackedLayout, packedShapes } from '../packed-layout';
import { CODE_AT, CODE_WORDS, describeLayout, GROUP_OF } from './group-places';
import { largestOf } from './param-wgsl';
import { SMALL_FLOAT } from './small-float';
import { runElements, type WebGpuBackend } from './webgpu-kernel';

/** `block_of(place, count)`: where the block of a group's place begins, and its size. */
const BLOCK_OF = {
  hadamard: /* wgsl */ `
fn block_of(place : i32, count : i32) -> vec2<i32> {
  var start = 0;
  for (var rest = count; rest > 0;) {
    let size = 1 << firstLeadingBit(u32(rest));
    if (place < start + size) { return vec2(start, size); }
    start += size;
    rest -= size;
  }
  return vec2(0, 1);
}`,
  none: /* wgsl */ `
fn block_of(place : i32, count : i32) -> vec2<i32> { return vec2(place, 1); }`,
};

const SIGNS = /* wgsl */ `
/** The sign of H, row i and column j; times 1 / sqrt(size) it is its own inverse. */
fn h(i : i32, j : i32) -> f32 { return 1.0 - 2.0 * f32(countOneBits(i & j) & 1); }
/** What D multiplies entry i by. */
fn d(i : i32) -> f32 { return 1.0 - 2.0 * f32(countOneBits(i & (i >> 1u) & 0x55555555) & 1); }`;

/** Root of the mean square of x / largest; those of a turned group are the same. */
const RMS = /* wgsl */ `
fn rms_of(group : vec3<i32>, largest : u32) -> f32 {
  let small = is_small(largest);
  var squares = 0.0;
  for (var j = 0; j < group.y; j++) {
    let v = lifted(bitcast<u32>(x[group.x + j]), small) / lifted(largest, small);
    squares += v * v;
  }
  return sqrt(squares / f32(group.y));
}`;

/** Turned values of the mean square 1; of groups without any, what is below all borders. */
const TURN = /* wgsl */ `
fn element(i : i32) -> f32 {
  let c = i % uniforms.channels;
  let group = group_of(i / uniforms.channels * uniforms.groups + c / uniforms.groupSize);
  let largest = largest_of(group);
  if (largest == 0u || largest >= 0x7f800000u) { return -1e30; }
  let small = is_small(largest);
  let place = c % uniforms.groupSize;
  let block = block_of(place, group.y);
  var sum = 0.0;
  for (var j = 0; j < block.y; j++) {
    let v = lifted(bitcast<u32>(x[group.x + block.x + j]), small) / lifted(largest, small);
    sum += h(place - block.x, j) * d(j) * v;
  }
  return sum / sqrt(f32(block.y)) / rms_of(group, largest);
}`;

const CODE_OF = /* wgsl */ `
fn code_of(u : f32) -> u32 {
  var code = 0u;
  for (var k = 0; k < COUNT - 1; k++) { code += select(0u, 1u, u >= BORDERS[k]); }
  return code;
}`;

const CODES = /* wgsl */ `
fn code_for(row : i32, c : i32) -> u32 { return code_of(turned[row * uniforms.channels + c]); }`;

const FACTORS = /* wgsl */ `
fn element(i : i32) -> i32 {
  let group = group_of(i);
  let largest = largest_of(group);
  if (largest == 0u) { return 0; }
  if (largest >= 0x7f800000u) { return 0x7fc00000; } // NaN
  var along = 0.0;
  var norm = 0.0;
  for (var j = 0; j < group.y; j++) {
    let u = turned[group.x + j];
    let q = CENTROIDS[code_of(u)];
    along += u * q;
    norm += q * q;
  }
  let small = is_small(largest);
  let factor = lifted(largest, small) * (rms_of(group, largest) * along / norm);
  return bitcast<i32>(lowered(factor, small));
}`;

const VALUES = /* wgsl */ `
fn element(i : i32) -> f32 {
  let row = i / uniforms.channels;
  let c = i % uniforms.channels;
  let place = c % uniforms.groupSize;
  let start = c - place;
  let factor = bitcast<u32>(params[row * uniforms.groups + c / uniforms.groupSize]);
  if (factor >= 0x7f800000u) { return uniforms.NAN; }
  let block = block_of(place, min(uniforms.groupSize, uniforms.channels - start));
  var sum = 0.0;
  for (var j = 0; j < block.y; j++) {
    sum += h(place - block.x, j) * CENTROIDS[code_at(row, start + block.x + j)];
  }
  let small = is_small(factor);
  let scale = lifted(factor, small) / sqrt(f32(block.y)) * d(place - block.x);
  return bitcast<f32>(lowered(sum * scale, small));
}`;

/** @returns words of codes and of params. */
export function packLloydMax(
  backend: WebGpuBackend,
  x: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo[] {
  const shapes = packedShapes(x.shape, layout);
  const { key, integers, constants, groups } = describe(layout);
  const turned = runElements(backend, {
    key: `lloydMaxTurned ${key}`,
    shape: x.shape,
    dtype: 'float32',
    inputs: { x },
    integers,
    code: groups + BLOCK_OF[layout.rotation] + SIGNS + TURN,
  });
  const params = runElements(backend, {
    key: `lloydMaxFactors ${key}`,
    shape: shapes[1]!,
    dtype: 'int32',
    inputs: { x, turned },
    integers,
    code: constants + groups + CODE_OF + FACTORS,
  });
  const codes = runElements(backend, {
    key: `lloydMaxCodes ${key}`,
    shape: shapes[0]!,
    dtype: 'int32',
    inputs: { turned },
    integers,
    code: constants + CODE_OF + CODES + CODE_WORDS,
  });
  backend.disposeData(turned.dataId);
  return [codes, params];
}

/** @returns values. */
export function unpackLloydMax(
  backend: WebGpuBackend,
  codes: tf.TensorInfo,
  params: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo {
  const { key, integers, constants } = describe(layout);
  return runElements(backend, {
    key: `lloydMaxValues ${key}`,
    shape: [...codes.shape.slice(0, -1), layout.channels],
    dtype: 'float32',
    inputs: { codes, params },
    integers,
    code: constants + SMALL_FLOAT + CODE_AT + BLOCK_OF[layout.rotation] + SIGNS + VALUES,
  });
}

function describe(layout: PackedLayout) {
  const bits = layout.bits as 2 | 3 | 4;
  const { integers, constants } = describeLayout(layout);
  const list = (name: string, values: Float32Array) =>
    `var<private> ${name} : array<f32, ${values.length}> = array(${[...values].map((v) => `${v}f`)});\n`;
  const centroids = lloydMaxCentroids(bits);
  return {
    key: `${bits} ${layout.rotation}`,
    integers,
    constants: [
      constants,
      `const COUNT = ${centroids.length};\n`,
      list('CENTROIDS', centroids),
      list('BORDERS', lloydMaxBorders(bits)),
    ].join(''),
    groups: SMALL_FLOAT + GROUP_OF.token + largestOf() + RMS,
  };
}
