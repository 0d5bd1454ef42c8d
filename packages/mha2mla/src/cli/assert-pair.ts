import type { VlmSource } from '@mha2mla/vlm-adapters';
import { UsageError } from './usage-error';

/**
 * Check that a command was given a converted model and, by `option`, its original.
 * @throws UsageError where they are not one of each.
 */
export function assertPair(
  command: string,
  option: string,
  source: VlmSource,
  original: VlmSource,
): void {
  if (source.config.decoder.mla && !original.config.decoder.mla) return;
  throw new UsageError(
    `${command}: MODEL must be a converted model and ${option} its original, got them the other way round or twice the same. Convert first.`,
  );
}
