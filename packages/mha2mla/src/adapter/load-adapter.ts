/**
 * Load an adapter that Hugging Face PEFT, or `saveAdapter`, wrote. Which modules it adapts is what
 * its tensors say; a list of `target_modules` has to agree. A pattern is kept and not run: one
 * written with bad intent takes years.
 */
import {
  assertFinite,
  type Checkpoint,
  type FileStore,
  openSafetensors,
  quoteName,
  readJson,
} from '@mha2mla/checkpoint';
import { type LoraOptions, selectModules } from '@mha2mla/peft';
import * as tf from '@tensorflow/tfjs-core';
import { type AdapterConfig, parseAdapterConfig, patternValue } from './adapter-config';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapterKeys, PREFIX } from './adapter-keys';
import type { LinearModule } from './linear-modules';
import type { ModelAdapters } from './model-adapters';

/** A config of PEFT has some 1 KB, one that names each module of a large model 100 KB. */
const MAX_CONFIG_BYTES = 2_000_000;
const LISTED = 5;

/** Options of `loadAdapter`. */
export interface LoadAdapterOptions {
  /** What the adapter is called from now on. Default `default`. */
  name?: string;
  signal?: AbortSignal;
}

/**
 * Read `adapter_config.json` and `adapter_model.safetensors` and add the adapter to a model; it does
 * not act before `setAdapter`.
 * @throws CheckpointError or RangeError for a file that is missing or malformed, a feature that is
 *   not supported, modules that the model does not have, and weights of other shapes or not finite.
 */
export async function loadAdapter(
  adapters: ModelAdapters,
  store: FileStore,
  { name = 'default', signal }: LoadAdapterOptions = {},
): Promise<AdapterConfig> {
  const json = await readJson(store, ADAPTER_CONFIG, { maxBytes: MAX_CONFIG_BYTES, signal });
  const config = parseAdapterConfig(json);
  const source = await store.open(ADAPTER_WEIGHTS);
  if (!source) {
    throw new RangeError(
      `loadAdapter: ${store.name} must contain ${ADAPTER_WEIGHTS}, got none. Save the adapter as safetensors.`,
    );
  }
  const file = await openSafetensors(source, { signal });
  const hint = fitHint(json);
  const { modules, layout } = findModules(file, adapters.modules, config, hint);
  for (const [stored, module] of modules) {
    assertShapes(file, stored, module.projection, config, hint);
  }
  const options = new Map<string, LoraOptions>();
  const tensors: tf.Tensor[] = [];
  try {
    for (const [stored, module] of modules) {
      const own = await readModule(file, stored, config, tensors, signal);
      options.set(module.ours, own);
    }
    adapters.add(name, config, options, layout);
  } finally {
    tf.dispose(tensors);
  }
  return config;
}

/** What an adapter that does not fit may have been made for. */
function fitHint(json: unknown): string {
  const { base_model_name_or_path: base } = json as Record<string, unknown>;
  return typeof base === 'string' && base !== ''
    ? ` The adapter was made for ${quoteName(base)}.`
    : '';
}

interface FoundModule extends LinearModule {
  ours: string;
}

/** The modules of a file by their stored names, in the one layout of names that fits all. */
function findModules(
  file: Checkpoint,
  all: ReadonlyMap<string, LinearModule>,
  config: AdapterConfig,
  hint: string,
): { modules: Map<string, FoundModule>; layout: number } {
  const keys = [...file.tensors.keys()];
  const depth = Math.max(...[...all.values()].map(({ storedNames }) => storedNames.length));
  let fewest: string[] = keys;
  for (let layout = 0; layout < depth; layout++) {
    const named = new Map<string, FoundModule>();
    for (const [ours, module] of all) {
      const stored = module.storedNames[layout] ?? module.storedNames.at(-1)!;
      named.set(stored, { ...module, ours });
    }
    const known = new Map(
      [...named.keys()].flatMap((stored) =>
        adapterKeys(stored, config.useDora).map((key) => [key, stored] as const),
      ),
    );
    const unknown = keys.filter((key) => !known.has(key));
    if (unknown.length < fewest.length) fewest = unknown;
    if (unknown.length > 0 || keys.length === 0) continue;
    const used = new Set(keys.map((key) => known.get(key)!));
    assertTargets([...named.keys()], used, config.targetModules);
    return { modules: new Map([...named].filter(([stored]) => used.has(stored))), layout };
  }
  const example = [...all.values()][0]!.storedNames[0]!;
  throw new RangeError(
    `loadAdapter: ${ADAPTER_WEIGHTS} must hold weights of the model's modules, such as ${PREFIX}${example}.lora_A.weight, got ${fewest.length} others: ${listed(fewest)}.${hint}`,
  );
}

function assertTargets(
  names: readonly string[],
  used: ReadonlySet<string>,
  targets: AdapterConfig['targetModules'],
): void {
  if (typeof targets === 'string') return;
  const chosen = new Set(selectModules(names, targets));
  const missing = [...chosen].filter((name) => !used.has(name));
  const unexpected = [...used].filter((name) => !chosen.has(name));
  if (missing.length === 0 && unexpected.length === 0) return;
  throw new RangeError(
    `loadAdapter: target_modules must name the modules with weights, got ${missing.length} without (${listed(missing)}) and ${unexpected.length} that it does not name (${listed(unexpected)}).`,
  );
}

function assertShapes(
  file: Checkpoint,
  stored: string,
  { inFeatures, outFeatures }: { inFeatures: number; outFeatures: number },
  config: AdapterConfig,
  hint: string,
): void {
  const r = patternValue(config.rankPattern, stored) ?? config.r;
  const shapes = [[r, inFeatures], [outFeatures, r], [outFeatures]];
  for (const [i, key] of adapterKeys(stored, config.useDora).entries()) {
    const found = file.tensors.get(key)?.shape;
    if (found && tf.util.arraysEqual(found, shapes[i]!)) continue;
    throw new RangeError(
      `loadAdapter: ${quoteName(key)} must be [${shapes[i]}], got ${found ? `[${found}]` : 'none'}.${hint}`,
    );
  }
}

/** The options of a module's `lora`; its tensors are put on the list, for the caller to dispose. */
async function readModule(
  file: Checkpoint,
  stored: string,
  { r, loraAlpha, rankPattern, alphaPattern, useDora, useRslora, loraDropout }: AdapterConfig,
  tensors: tf.Tensor[],
  signal: AbortSignal | undefined,
): Promise<LoraOptions> {
  const own: tf.Tensor[] = [];
  for (const key of adapterKeys(stored, useDora)) {
    const values = await file.readFloat32(key, { signal });
    assertFinite('loadAdapter', quoteName(key), values);
    own.push(tf.tensor(values, file.tensors.get(key)!.shape));
    tensors.push(own.at(-1)!);
  }
  const [loraA, loraB, magnitude] = own as [tf.Tensor2D, tf.Tensor2D, tf.Tensor1D?];
  return {
    r: patternValue(rankPattern, stored) ?? r,
    loraAlpha: patternValue(alphaPattern, stored) ?? loraAlpha,
    useRslora,
    useDora,
    loraDropout,
    initLoraWeights: { loraA, loraB, ...(magnitude && { magnitude }) },
  };
}

function listed(names: readonly string[]): string {
  return names.slice(0, LISTED).map(quoteName).join(', ') || 'none';
}
