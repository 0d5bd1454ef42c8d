import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { ConversionPlan } from './convert-options';

/**
 * Shapes of what a conversion makes of a layer's keys and values for one kind of input, by name
 * below its folder, such as `down_kv`.
 * @param rank latent dims a KV head.
 */
export function plannedShapes(
  { numKeyValueHeads, headDim, hiddenSize }: DecoderConfig,
  { factor, ropeDim, groups }: Pick<ConversionPlan, 'factor' | 'ropeDim' | 'groups'>,
  rank: number,
): Record<string, number[]> {
  const width = rank * numKeyValueHeads;
  const down = [width, hiddenSize];
  const key = (inputs: number) => [numKeyValueHeads * (headDim - ropeDim), inputs];
  const value = (inputs: number) => [numKeyValueHeads * headDim, inputs];
  return {
    none: { up_k: key(hiddenSize), up_v: value(hiddenSize) },
    joint: { down_kv: down, up_k: key(width / groups), up_v: value(width / groups) },
    split: { down_k: down, up_k: key(width), down_v: down, up_v: value(width) },
    key: { down_k: down, up_k: key(width), up_v: value(hiddenSize) },
    value: { down_v: down, up_v: value(width), up_k: key(hiddenSize) },
  }[factor];
}
