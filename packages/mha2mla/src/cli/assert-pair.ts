import type { VlmSource } from '@mha2mla/vlm-adapters';
import { UsageError } from './usage-error';

/**
 * Check that a command was given a converted model and, by `option`, its original.
 * @throws UsageError where they are not one of each, of one family.
 */
export function assertPair(
  command: string,
  option: string,
  source: VlmSource,
  original: VlmSource,
): void {
  if (!source.config.decoder.mla || original.config.decoder.mla) {
    throw new UsageError(
      `${command}: MODEL must be a converted model and ${option} its original, got them the other way round or twice the same. Convert first.`,
    );
  }
  if (source.family.name === original.family.name) return;
  throw new UsageError(
    `${command}: MODEL and ${option} must be of one family, got ${source.family.name} and ${original.family.name}. Give the model that was converted.`,
  );
}
