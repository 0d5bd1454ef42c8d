import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { ConversionPlan } from '../convert/convert-options';

/**
 * Rotary dims a head that a search looks at: what was given, else a quarter of the head, an eighth
 * and a sixteenth. Each takes a factorisation of its own.
 */
export function ropeDimsToTry(
  { headDim }: Pick<DecoderConfig, 'headDim'>,
  { ropeDim, strategy }: { ropeDim?: number; strategy?: ConversionPlan['strategy'] },
): number[] {
  if (ropeDim !== undefined) return [ropeDim];
  const dims = [8, 16, 32].map((part) => 2 * Math.max(1, Math.round(headDim / part)));
  return [...new Set(dims)].filter((own) => strategy !== 'uniform' || headDim % own === 0);
}
