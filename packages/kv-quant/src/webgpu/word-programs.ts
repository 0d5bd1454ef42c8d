/** Halves and whole words on webgpu: what TensorFlow.js itself would pass through f32. */
import type * as tf from '@tensorflow/tfjs-core';
import { HALF_FLOAT } from './half-float';
import { runElements, type WebGpuBackend } from './webgpu-kernel';

/** float32 [..., channels] to two halves a word. */
export function packHalf(
  backend: WebGpuBackend,
  x: tf.TensorInfo,
  { channels, words }: { channels: number; words: number },
): tf.TensorInfo {
  return runElements(backend, {
    key: 'packHalf',
    shape: [...x.shape.slice(0, -1), words],
    dtype: 'int32',
    inputs: { x },
    integers: { channels, words },
    code: /* wgsl */ `${HALF_FLOAT}
fn element(i : i32) -> i32 {
  let c = i % uniforms.words * 2;
  let at = i / uniforms.words * uniforms.channels + c;
  var word = half_nearest(bitcast<u32>(x[at]));
  if (c + 1 < uniforms.channels) { word |= half_nearest(bitcast<u32>(x[at + 1])) << 16u; }
  return bitcast<i32>(word);
}`,
  });
}

/** Two halves a word to float32 [..., channels]. */
export function unpackHalf(
  backend: WebGpuBackend,
  codes: tf.TensorInfo,
  { channels, words }: { channels: number; words: number },
): tf.TensorInfo {
  return runElements(backend, {
    key: 'unpackHalf',
    shape: [...codes.shape.slice(0, -1), channels],
    dtype: 'float32',
    inputs: { codes },
    integers: { channels, words },
    code: /* wgsl */ `${HALF_FLOAT}
fn element(i : i32) -> f32 {
  let c = i % uniforms.channels;
  let word = bitcast<u32>(codes[i / uniforms.channels * uniforms.words + c / 2]);
  return bitcast<f32>(half_bits((word >> u32(16 * (c % 2))) & 0xffffu));
}`,
  });
}

/** Join words along an axis. */
export function concatWords(
  backend: WebGpuBackend,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  axis: number,
): tf.TensorInfo {
  const shape = a.shape.map((size, i) => (i === axis ? size + b.shape[i]! : size));
  const row = ({ shape: own }: tf.TensorInfo) => product(own.slice(axis));
  for (const [part, other] of [
    [a, b],
    [b, a],
  ] as const) {
    if (product(part.shape) > 0) continue;
    backend.incRef(other.dataId); // nothing to join: an empty buffer cannot be bound
    return { dataId: other.dataId, shape, dtype: 'int32' };
  }
  return runElements(backend, {
    key: 'concatWords',
    shape,
    dtype: 'int32',
    inputs: { a, b },
    integers: { rowA: row(a), rowB: row(b) },
    code: /* wgsl */ `
fn element(i : i32) -> i32 {
  let row = i / (uniforms.rowA + uniforms.rowB);
  let at = i % (uniforms.rowA + uniforms.rowB);
  if (at < uniforms.rowA) { return a[row * uniforms.rowA + at]; }
  return b[row * uniforms.rowB + at - uniforms.rowA];
}`,
  });
}

/** Places `begin` to before `begin + size` of an axis. */
export interface WordRange {
  axis: number;
  begin: number;
  size: number;
}

/** Take a range of an axis of words. */
export function sliceWords(
  backend: WebGpuBackend,
  x: tf.TensorInfo,
  { axis, begin, size }: WordRange,
): tf.TensorInfo {
  const inner = product(x.shape.slice(axis + 1));
  return runElements(backend, {
    key: 'sliceWords',
    shape: x.shape.map((length, i) => (i === axis ? size : length)),
    dtype: 'int32',
    inputs: { x },
    integers: { first: begin * inner, row: size * inner, stride: x.shape[axis]! * inner },
    code: /* wgsl */ `
fn element(i : i32) -> i32 {
  return x[i / uniforms.row * uniforms.stride + uniforms.first + i % uniforms.row];
}`,
  });
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, size) => all * size, 1);
}
