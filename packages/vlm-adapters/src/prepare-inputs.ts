import { type TokenLayout, tokenLayout } from '@mha2mla/mla-runtime';
import type { Positions, VlmConfig, VlmFamily } from './family';
import type { ModelInputs } from './model-inputs';

/** Work out, on the host, where each token of a batch stands and of which modality it is. */
export function prepareInputs(
  family: VlmFamily,
  config: VlmConfig,
  inputs: ModelInputs,
): Positions & { layout: TokenLayout } {
  const { inputIds, attentionMask, batch, length } = inputs;
  const vision = new Set(config.visionTokenIds);
  const layout = tokenLayout(inputIds, attentionMask, [batch, length], (id) => vision.has(id));
  return { layout, ...family.positions(config, inputs) };
}
