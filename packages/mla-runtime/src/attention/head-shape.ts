import type { RopePairs } from '@mha2mla/partial-rope';
import type { DecoderConfig } from '../decoder-config';

/** The widths of one layer's heads, and which pairs of them are turned. */
export interface HeadShape {
  numAttentionHeads: number;
  numKeyValueHeads: number;
  headDim: number;
  qkRopeHeadDim: number;
  qkNopeHeadDim: number;
  /** Per KV head; `undefined` where all pairs are turned. */
  ropePairs: RopePairs | undefined;
}

/** The pairs that are turned, those of one KV head after another, [K * R / 2]. */
export function turnedPairs({ ropePairs, numKeyValueHeads, headDim }: HeadShape): number[] {
  const half = headDim / 2;
  if (!ropePairs) return Array.from({ length: numKeyValueHeads * half }, (_, i) => i % half);
  return ropePairs.flatMap((own) => [...own]);
}

/** Derive a layer's head widths from the config. */
export function headShape(config: DecoderConfig, layer: number): HeadShape {
  const { numAttentionHeads, numKeyValueHeads, headDim, mla } = config;
  const ropePairs = mla?.ropePairs[layer];
  const qkRopeHeadDim = ropePairs ? 2 * ropePairs[0]!.length : headDim;
  return {
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    qkRopeHeadDim,
    qkNopeHeadDim: headDim - qkRopeHeadDim,
    ropePairs,
  };
}
