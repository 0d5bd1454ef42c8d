import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadQuestions } from 'mha2mla/node';

export const MODELS = fileURLToPath(new URL('../../models', import.meta.url));
/** Of `models/scenes/test.jsonl`. */
export const QUESTIONS = 4;

/** The first questions with their pictures, each as a model takes it. */
export async function promptsOf(source) {
  const processor = await source.family.loadProcessor(source.config, source.store);
  const questions = await loadQuestions(join(MODELS, 'scenes/test.jsonl'), QUESTIONS);
  return Promise.all(
    questions.map(async ({ messages, loadMedia }) =>
      processor.process([{ messages, ...(await loadMedia()) }]),
    ),
  );
}
