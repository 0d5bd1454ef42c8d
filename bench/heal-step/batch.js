import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packReferences } from 'mha2mla';
import { loadQuestions, openModelFolder } from 'mha2mla/node';

const MODELS = fileURLToPath(new URL('../../models', import.meta.url));
const QUESTIONS = 16;

/** Sixteen questions, a row each, with their answers. */
export async function preparedBatch(model) {
  const { source, close } = await openModelFolder(join(MODELS, model));
  const processor = await source.family.loadProcessor(source.config, source.store);
  const questions = await loadQuestions(join(MODELS, 'scenes/heal.jsonl'), QUESTIONS);
  const rows = questions.map((question) => [question]);
  return { source, close, packed: await packReferences(source, processor, rows) };
}
