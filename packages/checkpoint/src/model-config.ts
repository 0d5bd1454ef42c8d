/**
 * `config.json` of a vision-language model, both Hugging Face generations normalised to one form
 * (transformers 4: `torch_dtype`, `image_token_index`; transformers 5: `dtype`, `image_token_id`).
 */
import type { FileStore } from './byte-source';
import { CheckpointError } from './checkpoint-error';
import {
  badConfig,
  type ConfigRecord,
  configRecord,
  configString,
  configValue,
  isConfigRecord,
} from './config-values';
import { readJson } from './read-json';
import { readTextConfig, type TextConfig } from './text-config';
import { readTokenId } from './token-ids';

/** Precision that the config states for the weights. */
export type ModelDtype = 'float16' | 'bfloat16' | 'float32' | 'float64';

/** A vision-language model's config; `vision` and `mha2mla` are for family packages to check. */
export interface ModelConfig {
  modelType: string;
  text: TextConfig;
  vision: ConfigRecord;
  imageTokenId: number;
  videoTokenId?: number;
  visionStartTokenId?: number;
  visionEndTokenId?: number;
  dtype: ModelDtype;
  /** How the model was converted; absent in an original model. */
  mha2mla?: ConfigRecord;
  /** The file as it stands; read its keys, never spread it. */
  raw: Record<string, unknown>;
}

// Published configs have a few kB; 10 MB is parsed in a tenth of a second.
const MAX_CONFIG_BYTES = 10_000_000;
const DTYPES: readonly string[] = ['float16', 'bfloat16', 'float32', 'float64'];
// `image_token_index` of LlavaConfig and LlavaNextConfig where the file leaves it out.
const LLAVA_IMAGE_TOKEN = 32000;

/**
 * Reads and checks `config.json`.
 * @throws CheckpointError `missing-file`, `bad-config` naming the key, `unsupported-config`, and
 *   those of `readJson`
 */
export async function readModelConfig(store: FileStore): Promise<ModelConfig> {
  const raw = await readJson(store, 'config.json', { maxBytes: MAX_CONFIG_BYTES });
  if (!isConfigRecord(raw)) {
    throw new CheckpointError(
      'not-object',
      'readModelConfig: config.json must hold a JSON object.',
    );
  }
  return parseModelConfig(raw);
}

/** Checks and normalises a parsed config. @throws CheckpointError as `readModelConfig` */
export function parseModelConfig(raw: ConfigRecord): ModelConfig {
  const modelType = configString(raw, 'model_type');
  const nested = configRecord(raw, 'text_config');
  const mha2mla = configRecord(raw, 'mha2mla');
  return {
    modelType,
    text: readTextConfig(nested ?? raw, raw),
    vision: configRecord(raw, 'vision_config') ?? {},
    ...readMediaTokens(raw, modelType),
    dtype: readDtype(raw, nested),
    ...(mha2mla !== undefined && { mha2mla }),
    raw: raw as Record<string, unknown>,
  };
}

function readMediaTokens(raw: ConfigRecord, modelType: string) {
  const imageTokenId =
    readEither(raw, 'image_token_id', 'image_token_index') ??
    (modelType.startsWith('llava') ? LLAVA_IMAGE_TOKEN : undefined);
  if (imageTokenId === undefined) {
    throw badConfig('readModelConfig', 'image_token_id', 'name the token of a picture', undefined);
  }
  const videoTokenId = readEither(raw, 'video_token_id', 'video_token_index');
  const visionStartTokenId = readTokenId(raw, 'vision_start_token_id');
  const visionEndTokenId = readTokenId(raw, 'vision_end_token_id');
  return {
    imageTokenId,
    ...(videoTokenId !== undefined && { videoTokenId }),
    ...(visionStartTokenId !== undefined && { visionStartTokenId }),
    ...(visionEndTokenId !== undefined && { visionEndTokenId }),
  };
}

/** A token under its newer or older key; two that differ are two models in one file. */
function readEither(raw: ConfigRecord, newer: string, older: string): number | undefined {
  const [a, b] = [readTokenId(raw, newer), readTokenId(raw, older)];
  if (a !== undefined && b !== undefined && a !== b) {
    throw badConfig('readModelConfig', newer, `equal ${older} (${b})`, a);
  }
  return a ?? b;
}

function readDtype(raw: ConfigRecord, nested: ConfigRecord | undefined): ModelDtype {
  for (const record of [raw, nested ?? raw]) {
    for (const key of ['torch_dtype', 'dtype']) {
      if (configValue(record, key) === undefined) continue;
      const name = configString(record, key).replace(/^torch\./, '');
      if (!DTYPES.includes(name))
        throw badConfig('readModelConfig', key, `be one of ${DTYPES.join(', ')}`, name);
      return name as ModelDtype;
    }
  }
  return 'float32';
}
