/**
 * Key biases that are far larger than those of other heads, as Qwen2.5 has them: norms of hundreds
 * where keys are of the order of ten. They break quantized keys, and turn with the position in
 * every pair that keeps its rotation.
 */
import type { DecoderConfig, WeightReader } from '@mha2mla/mla-runtime';
import { median } from './median';

export interface KeyBias {
  /** The KV head of the layer whose bias is largest. */
  head: number;
  /** Of its bias, over all dims. */
  norm: number;
  /** In medians of the norms of all heads and layers; `null` where most have no bias at all. */
  ratio: number | null;
}

/** @returns by layer; empty for a model without key biases. */
export async function keyBiases(
  config: DecoderConfig,
  weights: WeightReader,
): Promise<(KeyBias | undefined)[]> {
  const norms: (number[] | undefined)[] = [];
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    norms.push(await headNorms(config, weights, `layers.${layer}.self_attn.k_proj.bias`));
  }
  const middle = median(norms.flatMap((own) => own ?? []));
  return norms.map((own) => {
    if (!own) return undefined;
    const norm = own.reduce((a, b) => Math.max(a, b), 0);
    const ratio = middle > 0 ? norm / middle : norm > 0 ? null : 0;
    return { head: own.indexOf(norm), norm, ratio };
  });
}

async function headNorms(
  { numKeyValueHeads, headDim }: DecoderConfig,
  weights: WeightReader,
  name: string,
): Promise<number[] | undefined> {
  if (!weights.shape(name)) return undefined;
  const bias = await weights.read(name, [numKeyValueHeads * headDim]);
  return Array.from({ length: numKeyValueHeads }, (_, head) =>
    Math.hypot(...bias.subarray(head * headDim, (head + 1) * headDim)),
  );
}
