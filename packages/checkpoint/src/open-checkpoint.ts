/**
 * Opens the weights of a Hugging Face folder: `model.safetensors`, or the shards that
 * `model.safetensors.index.json` lists (transformers prefers the single file too). Index and
 * headers must agree, since tools that trust only one of them would see two models.
 */
import type { ByteSource, FileStore } from './byte-source';
import { type Checkpoint, checkpointOf } from './checkpoint';
import { CheckpointError } from './checkpoint-error';
import { openOnce } from './open-once';
import { openSafetensors } from './open-safetensors';
import { assertPlainName } from './plain-name';
import { quoteName } from './quote-name';
import { readJson } from './read-json';
import {
  type ReadHeaderOptions,
  readSafetensorsHeader,
  type TensorInfo,
} from './safetensors-header';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
// An index has one line of about 100 bytes a tensor: 100 MB are a million tensors, as the header's.
const MAX_INDEX_BYTES = 100_000_000;
// The largest published models have some 200 shards; each costs an open file or a request.
const MAX_SHARDS = 10_000;
// Headers are small: eight at once hide a server's latency and flood nobody.
const HEADERS_AT_ONCE = 8;

/**
 * Opens a checkpoint folder; only headers are read.
 * @throws CheckpointError `missing-file` naming the file or shard, `bad-index`, `bad-path`,
 *   `index-mismatch`, and those of `readSafetensorsHeader`
 */
export async function openCheckpoint(
  store: FileStore,
  options: ReadHeaderOptions = {},
): Promise<Checkpoint> {
  const single = await store.open(SINGLE);
  if (single !== undefined) return openSafetensors(single, options);
  return openShards(store, await readWeightMap(store, options.signal), options);
}

/**
 * Names of the files that hold a checkpoint's weights, and of their index.
 * @throws as `openCheckpoint` of the index
 */
export async function weightFiles(store: FileStore, signal?: AbortSignal): Promise<string[]> {
  if ((await store.open(SINGLE)) !== undefined) return [SINGLE];
  return [INDEX, ...shardNames(await readWeightMap(store, signal))];
}

async function readWeightMap(
  given: FileStore,
  signal: AbortSignal | undefined,
): Promise<Map<string, string>> {
  const store = openOnce(given, signal);
  if ((await store.open(INDEX)) === undefined) {
    throw new CheckpointError(
      'missing-file',
      `openCheckpoint: ${quoteName(store.name)} must contain ${SINGLE} or ${INDEX}, got neither. Weights in .bin files must be converted to safetensors first.`,
    );
  }
  return parseIndex(await readJson(store, INDEX, { maxBytes: MAX_INDEX_BYTES, signal }));
}

/** Tensor name to shard name, checked. */
function parseIndex(index: unknown): Map<string, string> {
  const map = isRecord(index) ? index.weight_map : undefined;
  if (!isRecord(map)) {
    throw new CheckpointError(
      'bad-index',
      `openCheckpoint: ${INDEX} must hold an object weight_map.`,
    );
  }
  const weightMap = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(map)) {
    if (typeof shard !== 'string' || !assertPlainName(shard).endsWith('.safetensors')) {
      throw new CheckpointError(
        'bad-path',
        `openCheckpoint: ${INDEX} must map tensors to *.safetensors, got ${quoteName(String(shard))} for ${quoteName(tensor)}.`,
      );
    }
    weightMap.set(tensor, shard);
  }
  return weightMap;
}

function shardNames(weightMap: ReadonlyMap<string, string>): string[] {
  const names = [...new Set(weightMap.values())].sort();
  if (names.length > MAX_SHARDS) {
    throw new CheckpointError(
      'bad-index',
      `openCheckpoint: ${INDEX} must list at most ${MAX_SHARDS} shards, got ${names.length}.`,
    );
  }
  return names;
}

async function openShards(
  store: FileStore,
  weightMap: ReadonlyMap<string, string>,
  options: ReadHeaderOptions,
): Promise<Checkpoint> {
  const names = shardNames(weightMap);
  const sources = new Map<string, ByteSource>();
  const tensors = new Map<string, TensorInfo>();
  const metadata = new Map<string, string>();
  for (let i = 0; i < names.length; i += HEADERS_AT_ONCE) {
    const batch = names.slice(i, i + HEADERS_AT_ONCE);
    const headers = await Promise.all(
      batch.map(async (name) => {
        const source = await openShard(store, name);
        sources.set(name, source);
        return readSafetensorsHeader(source, options);
      }),
    );
    for (const header of headers) {
      for (const info of header.tensors.values()) addTensor(tensors, info, weightMap);
      for (const [key, value] of header.metadata) metadata.set(key, value);
    }
  }
  assertAllFound(weightMap, tensors);
  return checkpointOf(tensors, metadata, sources);
}

async function openShard(store: FileStore, name: string): Promise<ByteSource> {
  const source = await store.open(name);
  if (source === undefined) {
    throw new CheckpointError(
      'missing-file',
      `openCheckpoint: shard ${quoteName(name)}, listed in ${INDEX}, must be in ${quoteName(store.name)}. Download it.`,
    );
  }
  // A foreign store may name its sources otherwise; `TensorInfo.file` is the name in the index.
  return { name, size: source.size, read: (...range) => source.read(...range) };
}

function addTensor(
  tensors: Map<string, TensorInfo>,
  info: TensorInfo,
  weightMap: ReadonlyMap<string, string>,
): void {
  const expected = weightMap.get(info.name);
  if (expected !== info.file) {
    throw new CheckpointError(
      'index-mismatch',
      `openCheckpoint: ${INDEX} and headers must agree, got ${quoteName(info.name)} in ${quoteName(info.file)}, where the index has ${expected === undefined ? 'nothing' : quoteName(expected)}.`,
    );
  }
  tensors.set(info.name, info);
}

function assertAllFound(
  weightMap: ReadonlyMap<string, string>,
  tensors: ReadonlyMap<string, TensorInfo>,
): void {
  const absent = [...weightMap.keys()].filter((name) => !tensors.has(name));
  if (absent.length > 0) {
    throw new CheckpointError(
      'index-mismatch',
      `openCheckpoint: every tensor of ${INDEX} must be in its shard, got ${absent.length} missing: ${absent.slice(0, 5).map(quoteName).join(', ')}.`,
    );
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
