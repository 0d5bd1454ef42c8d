/**
 * HQQ on webgpu: the zero point is fitted as `pack-hqq.ts` fits it, one thread a group. Errors are
 * taken against the zero point with what rounding leaves out beside them, since a zero point that
 * rounds to another half moves codes of its whole group.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { HQQ } from '../kernels/hqq-constants';
import type { PackedLayout } from '../packed-layout';
import { packBySpan } from './affine-programs';
import type { WebGpuBackend } from './webgpu-kernel';

const { power, beta, rounds, shrunk, fall } = HQQ;

const FIT = /* wgsl */ `
/** The sum of |error| and of what the next zero point is above this one, over the group. */
fn fit(group : vec3<i32>, scale : f32, zero : f32) -> vec2<f32> {
  var sums = vec2(0.0);
  var excess = vec2(0.0); // what rounding has added to the sums
  for (var j = 0; j < group.y; j++) {
    let value = x[group.x + j * group.z];
    let d = value - zero;
    let v = d - value;
    let rest = (value - (d - v)) - (zero + v); // of d, which is rounded
    var code = clamp(round(d / scale), 0.0, LEVELS);
    var off = (d - code * scale) + rest;
    // The quotient may be off where it is near a half.
    let odd = code % 2.0 == 1.0;
    if (code < LEVELS && (off > scale * 0.5 || (off == scale * 0.5 && odd))) {
      off -= scale;
    } else if (code > 0.0 && (off < -scale * 0.5 || (off == -scale * 0.5 && odd))) {
      off += scale;
    }
    let size = abs(off);
    let kept = select(0.0, size - pow(size, ${power - 1}f) / ${beta}f, size > ${Math.fround(shrunk)}f);
    let terms = vec2(size, off - sign(off) * kept) - excess;
    let next = sums + terms;
    excess = (next - sums) - terms;
    sums = next;
  }
  return sums;
}

fn element(i : i32) -> i32 {
  let group = group_of(i);
  let span = span_param(group);
  let scale_bits = span & 0xffffu;
  if (scale_bits == 0u || scale_bits >= 0x7c00u) { return bitcast<i32>(span); }
  var best = 0x1.fffffep+127f;
  var best_half = span >> 16u;
  var half = best_half;
  for (var k = 0; k <= ${rounds}; k++) {
    let zero = half_value(half);
    let sums = fit(group, half_value(scale_bits), zero);
    if (!(sums.x < ${fall}f * best)) { break; }
    best = sums.x;
    best_half = half;
    half = half_nearest(bitcast<u32>(zero + sums.y / f32(group.y)));
  }
  return bitcast<i32>(scale_bits | (best_half << 16u));
}`;

/** @returns words of codes and of params. */
export function packHqq(
  backend: WebGpuBackend,
  x: tf.TensorInfo,
  layout: PackedLayout,
): tf.TensorInfo[] {
  return packBySpan(backend, x, layout, 'hqq', FIT);
}
