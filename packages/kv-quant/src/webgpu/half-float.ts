/**
 * Half precision in WGSL, on the bits of numbers only: a device may take small numbers for 0 and may
 * divide with errors, and words must be equal on every backend.
 */
export const HALF_FLOAT = /* wgsl */ `
const MAX_HALF = 0x7bffu; // 65504

/** The nearest half of a float32's bits, ties to even; finite ones saturate, NaN keeps its payload. */
fn half_nearest(bits : u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    let payload = (magnitude >> 13u) & 0x3ffu;
    return sign | 0x7c00u | select(payload, 0x200u, payload == 0u);
  }
  if (magnitude == 0x7f800000u) { return sign | 0x7c00u; }
  if (magnitude >= 0x477fe000u) { return sign | MAX_HALF; }
  if (magnitude >= 0x38800000u) {
    return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
  }
  let exponent = magnitude >> 23u;
  if (exponent < 102u) { return sign; }
  let fraction = (magnitude & 0x7fffffu) | 0x800000u;
  let shift = 126u - exponent; // 14 to 24
  let kept = fraction >> shift;
  let lost = fraction & ((1u << shift) - 1u);
  let tie = 1u << (shift - 1u);
  return sign | (kept + select(0u, 1u, lost > tie || (lost == tie && (kept & 1u) == 1u)));
}

/** The largest half that is not above a positive float32, and 1 where it is below. */
fn half_truncated(magnitude : u32) -> vec2<u32> {
  if (magnitude >= 0x477fe000u) { return vec2(MAX_HALF, select(0u, 1u, magnitude > 0x477fe000u)); }
  if (magnitude >= 0x38800000u) {
    return vec2((magnitude - 0x38000000u) >> 13u, select(0u, 1u, (magnitude & 0x1fffu) != 0u));
  }
  let exponent = magnitude >> 23u;
  if (exponent < 103u) { return vec2(0u, select(0u, 1u, magnitude != 0u)); }
  let fraction = (magnitude & 0x7fffffu) | 0x800000u;
  let shift = 126u - exponent; // 14 to 23
  return vec2(fraction >> shift, select(0u, 1u, (fraction & ((1u << shift) - 1u)) != 0u));
}

/** The largest half that is not above a float32, at least -65504; never -0. */
fn half_below(bits : u32) -> u32 {
  let half = half_truncated(bits & 0x7fffffffu);
  if (bits >> 31u == 0u || (half.x == 0u && half.y == 0u)) { return half.x; }
  return 0x8000u | min(half.x + half.y, MAX_HALF);
}

/** Bits of the float32 that equals a half. */
fn half_bits(half : u32) -> u32 {
  let sign = (half & 0x8000u) << 16u;
  let exponent = (half >> 10u) & 31u;
  let fraction = half & 0x3ffu;
  if (exponent == 31u) { return sign | 0x7f800000u | (fraction << 13u); }
  if (exponent != 0u) { return sign | ((exponent + 112u) << 23u) | (fraction << 13u); }
  return sign | bitcast<u32>(f32(fraction) * 0x1p-24f);
}
fn half_value(half : u32) -> f32 { return bitcast<f32>(half_bits(half)); }
`;
