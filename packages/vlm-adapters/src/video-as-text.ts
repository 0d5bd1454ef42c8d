import { type ConfigRecord, configBoolean } from '@mha2mla/checkpoint';
import type { VlmConfig } from './family';

/**
 * Whether a converted model sends its video tokens through the text branch. The reference does, and
 * writes no such key.
 * @param block `config.mha2mla`, unchecked.
 */
export function readVideoAsText(block: ConfigRecord): boolean {
  return configBoolean(block, 'video_as_text', true);
}

/** The config with its video tokens counted as text; start and end of a vision stay vision. */
export function videoAsText<C extends Pick<VlmConfig, 'visionTokenIds' | 'videoTokenId'>>(
  config: C,
): C {
  const { visionTokenIds, videoTokenId } = config;
  return { ...config, visionTokenIds: visionTokenIds.filter((id) => id !== videoTokenId) };
}
