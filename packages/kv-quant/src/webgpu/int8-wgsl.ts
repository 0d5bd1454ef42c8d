/** Symmetric 8 bits in WGSL; scales are those of the other backends to the bit. */
import { bitsOfFloat } from '../kernels/half-float';
import { INT8_MAX_SCALE } from '../kernels/int8-max-scale';
import { SMALL_FLOAT } from './small-float';

/** `int8_param(largest)` of the bits of the largest magnitude; `int8_code(value, scale)`, by its bits. */
export const INT8_WGSL = /* wgsl */ `${SMALL_FLOAT}
/** Bits of a positive float32, divided by 127: ties to even. WGSL's division may be off, that of integers is not. */
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

fn int8_param(largest : u32) -> u32 {
  if (largest == 0u) { return 0u; }
  if (largest >= 0x7f800000u) { return 0x7fc00000u; } // NaN
  return min(divided(largest), ${bitsOfFloat(INT8_MAX_SCALE)}u);
}

fn int8_code(value : f32, scale : u32) -> u32 {
  if (scale == 0u || scale >= 0x7f800000u) { return 0u; }
  let small = is_small(scale);
  let steps = lifted(bitcast<u32>(value), small) / lifted(scale, small);
  return u32(i32(clamp(round(steps), -127.0, 127.0))) & 255u;
}`;
