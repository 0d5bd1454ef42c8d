/**
 * Kernel `PackHqq`: half-quadratic quantization (Badri and Shaji 2023; the iteration of hqq 0.2.8). The
 * scale is that of the span of the group; the zero point minimises a norm of power 0.7 of the
 * errors, which lets single outliers go. What is stored is of the form of `PackAffine`.
 * On purpose different: each group stops by itself (the library stops all groups at once, so that a
 * token's codes depend on what it was appended with), keeps the best zero point it has seen, works
 * with the stored scale, and has no thresholds of absolute size.
 */
import { encodeAffine, joinParams, spanParams } from './affine-params';
import { halfValues } from './half-float';
import { HQQ } from './hqq-constants';
import { type EncodeGroup, type Group, packGroups, packOp, ROUNDER } from './pack-kernel';

const { power, beta, rounds, shrunk, fall } = HQQ;

const encodeGroup: EncodeGroup = (x, group, { bits }, codes) => {
  const levels = 2 ** bits - 1;
  const span = spanParams(x, group, levels);
  const scale = halfValues()[span & 0xffff]!;
  // A group of equal values, or one that is not finite, is settled.
  const param = scale > 0 ? fitZero(x, group, levels, span) : span;
  encodeAffine(x, group, levels, param, codes);
  return param;
};

export const packHqq = packOp('PackHqq', packGroups(encodeGroup));

function fitZero(x: Float32Array, group: Group, levels: number, span: number): number {
  const scale = halfValues()[span & 0xffff]!;
  let best = Number.POSITIVE_INFINITY;
  let bestParam = span;
  let zero = halfValues()[span >>> 16]!;
  for (let round = 0; round <= rounds; round++) {
    const param = joinParams(span & 0xffff, zero);
    const fit = hqqRound(x, group, levels, scale, halfValues()[param >>> 16]!);
    if (!(fit.error < fall * best)) break;
    best = fit.error;
    bestParam = param;
    zero = fit.zero;
  }
  return bestParam;
}

/**
 * One round of HQQ, with x = code * scale + zero.
 * @returns the sum of |error| of the codes of `zero`, and the zero point for the next round.
 */
export function hqqRound(
  x: Float32Array,
  { first, count, stride }: Group,
  levels: number,
  scale: number,
  zero: number,
): { error: number; zero: number } {
  let error = 0;
  let sum = 0;
  for (let i = first, end = first + count * stride; i < end; i += stride) {
    const steps = (x[i]! - zero) / scale;
    const code = Math.min(Math.max(steps, 0), levels) + ROUNDER - ROUNDER;
    const off = x[i]! - (code * scale + zero);
    const size = Math.abs(off);
    error += size;
    // What the shrinkage leaves to outliers: sign(e) max(|e| - |e|^(p-1) / beta, 0).
    const kept = size > shrunk ? size - size ** (power - 1) / beta : 0;
    sum += x[i]! - Math.sign(off) * kept - code * scale;
  }
  return { error, zero: sum / count };
}
