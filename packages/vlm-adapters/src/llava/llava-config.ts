/** config.json of LLaVA-1.5 (`model_type: llava`) to what loader and decoder need. */
import type { ModelConfig } from '@mha2mla/checkpoint';
import { decoderConfig } from '../decoder-config-of';
import type { VlmConfig } from '../family';
import { type Activation, activation } from '../vision/activations';
import { type ClipConfig, parseClipConfig } from '../vision/clip-config';

export interface LlavaConfig extends VlmConfig {
  readonly clip: ClipConfig;
  readonly projectorAct: Activation;
}

/** @throws RangeError when the config names no image token or has values out of range. */
export function parseLlavaConfig(config: ModelConfig): LlavaConfig {
  const { imageTokenId, text, raw } = config;
  if (imageTokenId === undefined) {
    throw new RangeError(
      'parseLlavaConfig: config.json must give image_token_index or image_token_id, got neither.',
    );
  }
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
