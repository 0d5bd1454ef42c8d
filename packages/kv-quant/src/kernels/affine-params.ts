/** Scale and zero point of a group, as halves in a word: scale in the low half. */
import { halfAbove, halfBelow, halfValues, nearestHalf } from './half-float';
import { type Group, ROUNDER } from './pack-kernel';

/** Scale and zero point NaN: the group comes back as NaN. */
const NAN_PARAMS = 0x7e007e00;

/**
 * The zero point is the least value rounded down, the scale is rounded up, so that the codes span
 * the data: with both rounded to nearest the extremes of a group would be cut off.
 */
export function spanParams(x: Float32Array, group: Group, levels: number): number {
  const { first, count, stride } = group;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let poison = 0; // NaN once a value is NaN or infinite
  for (let i = first, end = first + count * stride; i < end; i += stride) {
    const value = x[i]!;
    poison += value * 0;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (Number.isNaN(poison)) return NAN_PARAMS;
  const zero = halfBelow(min);
  const range = Math.fround(max - halfValues()[zero]!);
  return halfAbove(Math.fround(Math.max(0, range) / levels)) | (zero << 16);
}

/** The word of a scale (bits of a half) and of the half nearest to a zero point. */
export function joinParams(scaleHalf: number, zero: number): number {
  return scaleHalf | (nearestHalf(zero) << 16);
}

/** Codes against the stored scale and zero point. */
export function encodeAffine(
  x: Float32Array,
  { first, count, stride }: Group,
  levels: number,
  param: number,
  codes: Uint8Array,
): void {
  const scale = halfValues()[param & 0xffff]!;
  const zero = halfValues()[param >>> 16]!;
  for (let i = first, end = first + count * stride; i < end; i += stride) {
    // Each step rounded to f32, as the composed twin has it.
    const steps = Math.fround(Math.fround(x[i]! - zero) / scale);
    // NaN, from a scale of 0 or NaN, gives code 0.
    codes[i] = Math.min(Math.max(steps, 0), levels) + ROUNDER - ROUNDER;
  }
}
