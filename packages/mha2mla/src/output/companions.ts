/** Files beside the weights that a model needs: tokenizer, template, processor, licence. */
import type { FileStore } from '@mha2mla/checkpoint';
import { copyFiles } from './copy-files';
import type { ResultOutput } from './result-output';

const COMPANIONS = [
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

/** Copy those that the folder has. */
export function copyCompanions(store: FileStore, output: ResultOutput): Promise<void> {
  return copyFiles(store, output, COMPANIONS);
}
