/** What config.json says in LLaVA-1.5 and LLaVA-NeXT alike: CLIP, a projector, a decoder. */
import type { ModelConfig } from '@mha2mla/checkpoint';
import { decoderConfig } from '../decoder-config';
import type { VlmConfig } from '../family';
import { type Activation, activation } from '../vision/activations';
import { type ClipConfig, parseClipConfig } from '../vision/clip-config';

export interface LlavaConfig extends VlmConfig {
  readonly clip: ClipConfig;
  readonly projectorAct: Activation;
}

/** @throws RangeError for values out of range or not supported. */
export function parseLlavaConfig(config: ModelConfig): LlavaConfig {
  const { imageTokenId, text, raw } = config;
  return {
    decoder: decoderConfig(config),
    imageTokenId,
    visionTokenIds: [imageTokenId],
    eosTokenIds: text.eosTokenIds,
    padTokenId: text.padTokenId,
    clip: parseClipConfig(config),
    projectorAct: activation(raw.projector_hidden_act ?? 'gelu'),
    source: config,
  };
}
