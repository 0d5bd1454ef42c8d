/**
 * Open a checkpoint folder of a known family: config, headers and the scales of a stored cache setting
 * are read, weights are not.
 */
import {
  type ByteSource,
  type Checkpoint,
  CheckpointError,
  configRecord,
  type FileStore,
  type ModelConfig,
  openCheckpoint,
  quoteName,
  rankFileName,
  readModelConfig,
  showJson,
  unpackedCheckpoint,
} from '@mha2mla/checkpoint';
import type { CacheOptions } from '@mha2mla/mla-runtime';
import { parseCacheSetting } from './cache-setting';
import { CheckpointWeights } from './checkpoint-weights';
import type { VlmConfig, VlmFamily } from './family';
import { readLatentSpecs } from './latent-specs';
import { withRankPairs } from './rank-pairs';
import { readVideoAsText, videoAsText } from './video-as-text';

/** A model that is opened: its config and headers, no weights yet. */
export interface VlmSource {
  readonly family: VlmFamily;
  readonly config: VlmConfig;
  readonly checkpoint: Checkpoint;
  readonly weights: CheckpointWeights;
  readonly store: FileStore;
  /** How the model's cache is stored unless a run says otherwise. */
  readonly cache: CacheOptions;
  /** The rank file that selects the rotary pairs, in a model that the reference has converted. */
  readonly rankFile?: ByteSource;
}

/** Options of `openVlm`. */
export interface OpenVlmOptions {
  /** Those that the application supports; the config's `model_type` picks one. */
  families: readonly VlmFamily[];
  /** Find a rank file that the folder has not, by its base name. */
  openRankFile?: (name: string) => Promise<ByteSource | undefined>;
  /** Of a file of weights. Default 100 MB, as in `readSafetensorsHeader`. */
  maxHeaderBytes?: number;
}

/** @throws when no family has the config's type, or config, rank file or headers are malformed. */
export async function openVlm(
  store: FileStore,
  { families, openRankFile, maxHeaderBytes }: OpenVlmOptions,
): Promise<VlmSource> {
  const read = await readModelConfig(store);
  const family = families.find(({ modelTypes }) => modelTypes.includes(read.modelType));
  if (!family) {
    const known = families.flatMap(({ modelTypes }) => modelTypes).join(', ');
    throw new RangeError(
      `openVlm: model_type must be one of ${known}, got ${showJson(read.modelType)} in ${store.name}.`,
    );
  }
  const rankFile = await findRankFile(read, store, openRankFile);
  const modelConfig = rankFile ? await withRankPairs(read, rankFile) : read;
  const { mha2mla } = modelConfig;
  const parsed = family.parseConfig(modelConfig);
  const config = mha2mla && readVideoAsText(mha2mla) ? videoAsText(parsed) : parsed;
  const checkpoint = await openFloats(store, modelConfig, maxHeaderBytes);
  const weights = new CheckpointWeights(checkpoint, family.storedNames, family.name);
  const { numHiddenLayers, mla } = config.decoder;
  const counts = { numHiddenLayers, groups: mla?.groups ?? 1 };
  const latentSpecs = await readLatentSpecs(mha2mla ?? {}, checkpoint, counts);
  const cache = { ...parseCacheSetting(mha2mla ?? {}), ...(latentSpecs && { latentSpecs }) };
  const source = { family, config, checkpoint, weights, store, cache };
  return rankFile ? { ...source, rankFile } : source;
}

/** The weights as floats, whether they are stored so or as integers of GPTQ or AWQ. */
async function openFloats(
  store: FileStore,
  { raw, mha2mla }: ModelConfig,
  maxHeaderBytes: number | undefined,
): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(store, { maxHeaderBytes });
  const packing = configRecord(raw, 'quantization_config');
  if (packing === undefined) return checkpoint;
  const unpacked = unpackedCheckpoint(checkpoint, packing);
  const isPacked = (name: string) => unpacked.packed.parts(name) !== undefined;
  if (mha2mla && ![...unpacked.tensors.keys()].some(isPacked)) {
    throw new CheckpointError(
      'unsupported-config',
      `openVlm: a converted model of floats must have no quantization_config, got one in ${store.name}. Pack its weights when they are loaded, by --weights.`,
    );
  }
  return unpacked;
}

async function findRankFile(
  config: ModelConfig,
  store: FileStore,
  openElsewhere: OpenVlmOptions['openRankFile'],
): Promise<ByteSource | undefined> {
  const name = rankFileName(config);
  if (name === undefined) return undefined;
  const file = (await store.open(name)) ?? (await openElsewhere?.(name));
  if (file) return file;
  throw new CheckpointError(
    'missing-file',
    `openVlm: the rank file ${quoteName(name)} that mha2mla.qk_tensor_path names must be in ${store.name}, got none. Put it there; the reference publishes those of its models.`,
  );
}
