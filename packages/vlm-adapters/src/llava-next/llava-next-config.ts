/** config.json of LLaVA-NeXT (`model_type: llava_next`) to what loader and decoder need. */
import type { ModelConfig } from '@mha2mla/checkpoint';
import type { ImageSize } from '../image/clip-image-processor-config';
import { type LlavaConfig, parseLlavaConfig } from '../llava-shared/llava-config';
import { parseGridPinpoints } from './grid-pinpoints';

export interface LlavaNextConfig extends LlavaConfig {
  /** Resolutions that pictures are brought to, each a whole number of the tower's squares. */
  readonly gridPinpoints: readonly ImageSize[];
}

/** @throws RangeError for values out of range or not supported. */
export function parseLlavaNextConfig(config: ModelConfig): LlavaNextConfig {
  const llava = parseLlavaConfig(config);
  const { imageSize, dropClassToken } = llava.clip;
  if (!dropClassToken) {
    throw new RangeError(
      'parseLlavaNextConfig: vision_feature_select_strategy must be default, got full. Tiles are joined to one grid of patches, in which a class token has no place.',
    );
  }
  const { image_grid_pinpoints: pinpoints } = config.raw;
  return { ...llava, gridPinpoints: parseGridPinpoints('config.json', pinpoints, imageSize) };
}
