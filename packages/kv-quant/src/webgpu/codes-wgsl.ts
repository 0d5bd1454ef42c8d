/**
 * The affine form of `docs/packed-form.md` in WGSL, equal to the bit to that of the other backends.
 * Where a rounded quotient decides, it is compared by exact products, since WGSL's division may be off
 * by 2.5 units in the last place.
 */
import { HALF_FLOAT } from './half-float';
import { INT8_WGSL } from './int8-wgsl';
import { STATIC_WGSL } from './static-wgsl';

/** Scale and zero point of a group, by the bits of its values. */
const SPAN = /* wgsl */ `
/** Unsigned integers in the order of the numbers that they are the bits of. */
fn sortable(bits : u32) -> u32 { return select(bits | 0x80000000u, ~bits, bits >> 31u == 1u); }
fn unsorted(key : u32) -> u32 { return select(~key, key & 0x7fffffffu, key >> 31u == 1u); }
fn is_finite(bits : u32) -> bool { return (bits & 0x7f800000u) != 0x7f800000u; }
/** Of a group with a value that is not finite. */
const NAN_PARAM = 0x7e007e00u;

/** Whether range / levels, rounded to f32, is not above a half; products are exact. */
fn covers(half : u32, range : f32, levels : f32) -> bool {
  let value = half_value(half);
  let unit = bitcast<f32>(bitcast<u32>(value) & 0x7f800000u) * 0x1p-24f; // half of one
  return half > 0u && range - value * levels <= levels * unit;
}

fn scale_half(least : u32, most : u32, levels : f32) -> u32 {
  var range = most; // its bits
  if (least != 0u) { range = bitcast<u32>(bitcast<f32>(most) - half_value(least)); }
  if (range >> 31u == 1u) { return 0u; }
  if (range < 0x00800000u) { return select(0u, 1u, 2u * range > u32(levels)); }
  let value = bitcast<f32>(range);
  var half = max(half_truncated(bitcast<u32>(value / levels)).x, 2u) - 2u;
  while (half < MAX_HALF && !covers(half, value, levels)) { half++; }
  return half;
}

/** Scale and zero point of a group, by the \`sortable\` bits of its least and largest value. */
fn affine_param(least : u32, most : u32, levels : f32) -> u32 {
  let zero = half_below(unsorted(least));
  return scale_half(zero, unsorted(most), levels) | (zero << 16u);
}`;

/** Codes against the stored scale and zero point, and back. */
const CODES = /* wgsl */ `
/** round(d / scale), the quotient rounded to f32 before, ties to even, from 0 to levels; x / 0 is infinite. */
fn code_of(d : f32, scale : f32, levels : f32) -> u32 {
  let positive = bitcast<u32>(d) - 1u < 0x7f800000u; // subnormals too
  if (!positive || scale == 0.0) { return select(0u, u32(levels), positive); }
  let floor_code = floor(min(d / scale, levels)); // one too low at most, where d is near a multiple
  let middle = floor_code + 0.5;
  let above = d - middle * scale; // the product is exact, and the difference where it is small
  let unit = scale * bitcast<f32>(bitcast<u32>(middle) & 0x7f800000u) * 0x1p-24f; // half of one
  let code = u32(floor_code);
  let rounded = select(select(code, code + 1u, above > 0.0), code + (code & 1u), abs(above) <= unit);
  return min(rounded, u32(levels));
}

fn affine_code(value : f32, param : u32, levels : f32) -> u32 {
  if ((param & 0x7c00u) == 0x7c00u) { return 0u; }
  let d = select(value - half_value(param >> 16u), value, param >> 16u == 0u);
  return code_of(d, half_value(param & 0xffffu), levels);
}

fn affine_value(code : u32, param : u32) -> f32 {
  return f32(code) * half_value(param & 0xffffu) + half_value(param >> 16u);
}`;

export const AFFINE_WGSL = HALF_FLOAT + SPAN + CODES;

/**
 * Functions for kernels that pack in place: `half_nearest(bits)`, `half_value(half)`;
 * `affine_code(value, param, levels)`, of hqq, too, where levels are 2^bits - 1; `int8_code(value,
 * param)`; `static_code(value, scale, zero, levels)` by the bits of the first three. Params are those of
 * `paramWgsl`.
 */
export const CODES_WGSL = AFFINE_WGSL + INT8_WGSL + STATIC_WGSL;
