/** Files beside the weights that a model needs: tokenizer, template, processor, licence. */
import { COMPANION_FILES, type FileStore } from '@mha2mla/checkpoint';
import { copyFiles } from './copy-files';
import type { ResultOutput } from './result-output';

/** Copy those that the folder has. */
export function copyCompanions(store: FileStore, output: ResultOutput): Promise<void> {
  return copyFiles(store, output, COMPANION_FILES);
}
