import type { VlmSource } from '@mha2mla/vlm-adapters';

/**
 * Check that a model is an original, or one of partial RoPE whose keys and values have no latents.
 * @throws RangeError naming a layer that has some.
 */
export function assertUnfactored({ config, weights }: Pick<VlmSource, 'config' | 'weights'>): void {
  const { mla, numHiddenLayers } = config.decoder;
  if (!mla) return;
  const stores = (layer: number, part: string) =>
    weights.storedName(`layers.${layer}.self_attn.kv_proj.${part}.weight`) !== undefined;
  for (let layer = 0; layer < numHiddenLayers; layer++) {
    const factored = ['down_kv', 'down_k', 'down_v'].some((part) => stores(layer, part));
    if (stores(layer, 'up_v') && !factored) continue;
    throw new RangeError(
      `planConversion: expected an original model, or one of partial RoPE alone (factor none), got a converted one with latents in layer ${layer}.`,
    );
  }
}
