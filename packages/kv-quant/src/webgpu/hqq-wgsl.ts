/**
 * HQQ in WGSL: the zero point is fitted as `pack-hqq.ts` fits it, one thread a group. Errors are
 * taken against the zero point with what rounding leaves out beside them, since a zero point that
 * rounds to another half moves codes of its whole group.
 */
import { HQQ } from '../kernels/hqq-constants';

const { power, beta, rounds, shrunk, fall } = HQQ;

/** `param_of(group)` over `span_of(group)`. */
export function hqqFit(prefix: string, levels: string): string {
  return /* wgsl */ `
/** The sum of |error| and of what the next zero point is above this one, over the group. */
fn ${prefix}fit(group : vec3<i32>, scale : f32, zero : f32) -> vec2<f32> {
  var sums = vec2(0.0);
  var excess = vec2(0.0); // what rounding has added to the sums
  for (var j = 0; j < group.y; j++) {
    let value = ${prefix}value_in(group, j);
    let d = value - zero;
    let v = d - value;
    let rest = (value - (d - v)) - (zero + v); // of d, which is rounded
    var code = clamp(round(d / scale), 0.0, ${levels});
    var off = (d - code * scale) + rest;
    // The quotient may be off where it is near a half.
    let odd = code % 2.0 == 1.0;
    if (code < ${levels} && (off > scale * 0.5 || (off == scale * 0.5 && odd))) {
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

fn ${prefix}param_of(group : vec3<i32>) -> u32 {
  let span = ${prefix}span_of(group);
  let scale_bits = span & 0xffffu;
  if (scale_bits == 0u || scale_bits >= 0x7c00u) { return span; }
  var best = 0x1.fffffep+127f;
  var best_half = span >> 16u;
  var half = best_half;
  for (var k = 0; k <= ${rounds}; k++) {
    let zero = half_value(half);
    let sums = ${prefix}fit(group, half_value(scale_bits), zero);
    if (!(sums.x < ${fall}f * best)) { break; }
    best = sums.x;
    best_half = half;
    half = half_nearest(bitcast<u32>(zero + sums.y / f32(group.y)));
  }
  return scale_bits | (best_half << 16u);
}`;
}
