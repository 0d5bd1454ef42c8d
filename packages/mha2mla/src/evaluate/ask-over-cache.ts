import { VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import type { Question } from '../data/question';
import { questionRows } from '../data/question-rows';
import { embedReferences } from './embed-references';
import { packReferences } from './pack-references';
import type { ReferenceScore } from './score-answers';
import { scoreOverCache } from './score-over-cache';

/** Pictures that run together: a few megabytes of scores. */
const ROWS = 8;

/**
 * Load a model and score reference answers over its cache, as the model's config has it stored.
 * @returns a score of each question, those about one picture together.
 * @throws the signal's reason when aborted.
 */
export async function askOverCache(
  source: VlmSource,
  questions: readonly Question[],
  { signal }: { signal?: AbortSignal } = {},
): Promise<ReferenceScore[]> {
  const processor = await source.family.loadProcessor(source.config, source.store);
  const model = await VisionLanguageModel.load(source, { signal });
  const rows = questionRows(questions);
  const all: ReferenceScore[] = [];
  try {
    for (let start = 0; start < rows.length; start += ROWS) {
      const packed = await packReferences(source, processor, rows.slice(start, start + ROWS));
      const embedded = embedReferences(model, packed);
      try {
        const { scores } = await scoreOverCache(model, embedded, source.cache, { signal });
        all.push(...scores);
      } finally {
        embedded.dispose();
      }
    }
  } finally {
    model.dispose();
  }
  return all;
}
