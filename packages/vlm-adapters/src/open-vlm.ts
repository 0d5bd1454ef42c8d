/** Open a checkpoint folder of a known family: config and headers are read, weights are not. */
import {
  type Checkpoint,
  type FileStore,
  openCheckpoint,
  readModelConfig,
} from '@mha2mla/checkpoint';
import type { CacheOptions } from '@mha2mla/mla-runtime';
import { parseCacheSetting } from './cache-setting';
import { CheckpointWeights } from './checkpoint-weights';
import type { VlmConfig, VlmFamily } from './family';

export interface VlmSource {
  readonly family: VlmFamily;
  readonly config: VlmConfig;
  readonly checkpoint: Checkpoint;
  readonly weights: CheckpointWeights;
  readonly store: FileStore;
  /** How the model's cache is stored unless a run says otherwise. */
  readonly cache: CacheOptions;
}

/**
 * @param families those that the application supports; the config's `model_type` picks one.
 * @throws when no family has that type, or config or headers are malformed.
 */
export async function openVlm(
  store: FileStore,
  { families }: { families: readonly VlmFamily[] },
): Promise<VlmSource> {
  const modelConfig = await readModelConfig(store);
  const family = families.find(({ modelTypes }) => modelTypes.includes(modelConfig.modelType));
  if (!family) {
    const known = families.flatMap(({ modelTypes }) => modelTypes).join(', ');
    throw new RangeError(
      `openVlm: model_type must be one of ${known}, got ${JSON.stringify(modelConfig.modelType)} in ${store.name}.`,
    );
  }
  const config = family.parseConfig(modelConfig);
  const checkpoint = await openCheckpoint(store);
  const weights = new CheckpointWeights(checkpoint, family.storedNames, family.name);
  const cache = parseCacheSetting(modelConfig.mha2mla ?? {});
  return { family, config, checkpoint, weights, store, cache };
}
