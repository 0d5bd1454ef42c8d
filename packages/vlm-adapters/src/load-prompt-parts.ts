/** What every family's processor takes alike of a checkpoint: its texts, and the ids of its config. */
import type { FileStore } from '@mha2mla/checkpoint';
import type { ProcessorParts } from './create-processor';
import type { VlmConfig } from './family';
import { loadTextFiles } from './text/load-text-files';

/** @throws those of `loadTextFiles`. */
export async function loadPromptParts(
  { imageTokenId, videoTokenId, padTokenId, source }: VlmConfig,
  store: FileStore,
): Promise<Omit<ProcessorParts, 'prepareImages' | 'prepareVideos'>> {
  const { tokenizer, chatTemplate } = await loadTextFiles(store);
  return {
    tokenizer,
    chatTemplate,
    imageTokenId,
    videoTokenId,
    padTokenId: tokenizer.padTokenId ?? padTokenId ?? tokenizer.eosTokenId ?? 0,
    contextWindow: source.text.maxPositionEmbeddings,
  };
}
