/**
 * `adapter_config.json` of Hugging Face PEFT, for LoRA. What changes numbers and is not supported
 * is refused by name, a key of a later version too, unless it is off.
 */
import {
  type ConfigRecord,
  configBoolean,
  configInteger,
  configNumber,
  configRecord,
  configString,
  configValue,
  quoteName,
  showJson,
} from '@mha2mla/checkpoint';

/** An adapter as `adapter_config.json` of Hugging Face PEFT describes it. */
export interface AdapterConfig {
  r: number;
  loraAlpha: number;
  useRslora: boolean;
  useDora: boolean;
  loraDropout: number;
  /** A pattern of whole names, or names and their ends. */
  targetModules: string | readonly string[];
  /** Other ranks and alphas of modules whose name is the key, or ends after a dot in it. */
  rankPattern: ReadonlyMap<string, number>;
  alphaPattern: ReadonlyMap<string, number>;
}

/** Widest adapter that is taken at its word; each map bounds it further. */
const MAX_RANK = 65_536;
/** Alphas are of the size of ranks; beyond, float32 products of weights overflow. */
const MAX_ALPHA = 1e6;
/** A published list names some dozen modules, or each of a few hundred. */
const MAX_ENTRIES = 10_000;

/** Keys that are read, or that say nothing about numbers at inference. */
const KNOWN: ReadonlySet<string> = new Set([
  ...['peft_type', 'r', 'lora_alpha', 'use_rslora', 'use_dora', 'lora_dropout', 'target_modules'],
  ...['rank_pattern', 'alpha_pattern', 'bias', 'init_lora_weights'],
  ...['auto_mapping', 'base_model_name_or_path', 'inference_mode', 'revision', 'task_type'],
  ...['megatron_core', 'peft_version', 'qalora_group_size', 'eva_config', 'runtime_config'],
]);
/** The others, such as PiSSA, take something out of the base model when they are loaded. */
const STARTS: ReadonlySet<unknown> = new Set([true, false, 'gaussian', 'eva', 'orthogonal']);

/** @throws CheckpointError, RangeError for values out of range and for what is not supported. */
export function parseAdapterConfig(json: unknown): AdapterConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new RangeError('parseAdapterConfig: adapter_config.json must be an object.');
  }
  const record = json as ConfigRecord;
  const must = (key: string, value: unknown, expected: string) => {
    throw new RangeError(
      `parseAdapterConfig: ${quoteName(key)} must be ${expected}, got ${showJson(value)}. Other adapters are not supported.`,
    );
  };
  const type = configString(record, 'peft_type');
  if (type !== 'LORA') must('peft_type', type, 'LORA');
  const bias = configString(record, 'bias', 'none');
  if (bias !== 'none') must('bias', bias, 'none');
  const start = configValue(record, 'init_lora_weights') ?? true;
  if (!STARTS.has(start)) must('init_lora_weights', start, [...STARTS].join(', '));
  for (const key of Object.keys(record)) {
    if (!KNOWN.has(key) && !isOff(record[key])) must(key, record[key], 'off');
  }
  return {
    r: configInteger(record, 'r', { min: 1, max: MAX_RANK, default: 8 }),
    loraAlpha: configNumber(record, 'lora_alpha', { min: 0, max: MAX_ALPHA, default: 8 }),
    useRslora: configBoolean(record, 'use_rslora', false),
    useDora: configBoolean(record, 'use_dora', false),
    // lora() takes what is below 1; 1 would leave nothing.
    loraDropout: configNumber(record, 'lora_dropout', { min: 0, max: 0.999, default: 0 }),
    targetModules: parseTargets(configValue(record, 'target_modules')),
    rankPattern: parsePattern(record, 'rank_pattern', (own, key) =>
      configInteger(own, key, { min: 1, max: MAX_RANK }),
    ),
    alphaPattern: parsePattern(record, 'alpha_pattern', (own, key) =>
      configNumber(own, key, { min: 0, max: MAX_ALPHA }),
    ),
  };
}

/** The document that PEFT reads, in its own order of keys. */
export function formatAdapterConfig(
  config: AdapterConfig,
  baseModel: string | undefined,
): Record<string, unknown> {
  return {
    alpha_pattern: Object.fromEntries(config.alphaPattern),
    auto_mapping: null,
    base_model_name_or_path: baseModel ?? null,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: config.loraAlpha,
    lora_bias: false,
    lora_dropout: config.loraDropout,
    modules_to_save: null,
    peft_type: 'LORA',
    r: config.r,
    rank_pattern: Object.fromEntries(config.rankPattern),
    revision: null,
    target_modules: config.targetModules,
    task_type: null,
    use_dora: config.useDora,
    use_rslora: config.useRslora,
  };
}

/** The value of a pattern's first key that a module's name equals or ends in, after a dot. */
export function patternValue(
  pattern: ReadonlyMap<string, number>,
  module: string,
): number | undefined {
  for (const [key, value] of pattern) {
    if (module === key || module.endsWith(`.${key}`)) return value;
  }
  return undefined;
}

function isOff(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function parseTargets(value: unknown): string | string[] {
  if (typeof value === 'string' && value.length > 0) return value;
  const valid =
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= MAX_ENTRIES &&
    value.every((entry) => typeof entry === 'string' && entry.length > 0);
  if (valid) return value as string[];
  throw new RangeError(
    `parseAdapterConfig: target_modules must be a pattern or a list of names, got ${showJson(value)}.`,
  );
}

function parsePattern(
  record: ConfigRecord,
  key: string,
  read: (own: ConfigRecord, key: string) => number,
): Map<string, number> {
  const own = configRecord(record, key) ?? {};
  const names = Object.keys(own);
  const other = names.find((name) => !/^[\w.]+$/.test(name));
  if (other !== undefined || names.length > MAX_ENTRIES) {
    throw new RangeError(
      `parseAdapterConfig: ${key} must have at most ${MAX_ENTRIES} plain names as its keys, got ${other === undefined ? names.length : quoteName(other)}. Patterns are not supported.`,
    );
  }
  return new Map(names.map((name) => [name, read(own, name)]));
}
