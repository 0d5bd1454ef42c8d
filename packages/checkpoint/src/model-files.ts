/** Which files of a folder are a model: config and weights, and what its tokenizer and processor read. */
import type { FileStore } from './byte-source';
import { type ModelConfig, readModelConfig } from './model-config';
import { weightFiles } from './open-checkpoint';
import { assertPlainName } from './plain-name';

/** Files beside config and weights that a Hugging Face folder may have. */
export const COMPANION_FILES: readonly string[] = [
  'LICENSE',
  'LICENSE.txt',
  'NOTICE',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'generation_config.json',
  'merges.txt',
  'preprocessor_config.json',
  'processor_config.json',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'video_preprocessor_config.json',
  'vocab.json',
];

/**
 * Names of a model's files: those that must be there, and those that may.
 * @throws CheckpointError as `readModelConfig`, and as `openCheckpoint` of the index of shards
 */
export async function modelFiles(
  store: FileStore,
  signal?: AbortSignal,
): Promise<{ required: string[]; optional: readonly string[] }> {
  const rankFile = rankFileName(await readModelConfig(store));
  const required = ['config.json', ...(await weightFiles(store, signal))];
  // Of a published rank file, which may lie elsewhere, see `openVlm`.
  return { required, optional: rankFile ? [...COMPANION_FILES, rankFile] : COMPANION_FILES };
}

/** Base name of the rank file that a converted config needs, or `undefined` where it needs none. */
export function rankFileName({ mha2mla }: ModelConfig): string | undefined {
  const { partial_rope_version, rope_pairs, qk_tensor_path } = mha2mla ?? {};
  const needed = partial_rope_version === 'mkl' && rope_pairs === undefined;
  if (!needed || typeof qk_tensor_path !== 'string') return undefined;
  // A path on the machine that converted: only the name can mean anything here.
  return assertPlainName(qk_tensor_path.split(/[\\/]/).at(-1)!);
}
