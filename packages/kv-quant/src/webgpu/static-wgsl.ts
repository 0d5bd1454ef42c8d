/** Static scales in WGSL, over `SMALL_FLOAT`. */

/** `static_code(value, scale, zero, levels)`, the first three by their bits; of a NaN it is 0. */
export const STATIC_WGSL = /* wgsl */ `
fn is_small_step(scale : u32, zero : u32) -> bool { return is_small(scale) && is_small(zero & 0x7fffffffu); }
fn static_code(value : u32, scale : u32, zero : u32, levels : f32) -> u32 {
  if ((value & 0x7fffffffu) > 0x7f800000u) { return 0u; }
  let small = is_small_step(scale, zero) && is_small(value & 0x7fffffffu);
  let d = lifted(value, small) - lifted(zero, small);
  if (d <= 0.0) { return 0u; }
  return u32(round(min(d / lifted(scale, small), levels)));
}`;
