import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packReferences } from 'mha2mla';
import { loadQuestions, openModelFolder } from 'mha2mla/node';

export const MODELS = fileURLToPath(new URL('../../models', import.meta.url));
/** Five about each of eight pictures. */
export const QUESTIONS = 40;
export const DATA = join(MODELS, 'scenes/heal.jsonl');

/** The questions, a row each, with their answers. */
export async function preparedBatch(model) {
  const { source, close } = await openModelFolder(join(MODELS, model));
  const processor = await source.family.loadProcessor(source.config, source.store);
  const questions = await loadQuestions(DATA, QUESTIONS);
  const rows = questions.map((question) => [question]);
  return { source, close, packed: await packReferences(source, processor, rows) };
}
