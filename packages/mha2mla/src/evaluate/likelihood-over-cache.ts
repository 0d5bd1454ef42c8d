import { VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import type { Question } from '../data/question';
import { questionRows } from '../data/question-rows';
import { embedReferences } from './embed-references';
import { packReferences } from './pack-references';
import { scoreOverCache } from './score-over-cache';

/** Pictures that run together: a few megabytes of scores. */
const ROWS = 8;

/**
 * How likely a model finds reference answers that it reads its questions for from the cache, as the
 * cache is stored.
 * @returns negative log-likelihood a token of the answers, end tokens included.
 * @throws the signal's reason when aborted.
 */
export async function likelihoodOverCache(
  source: VlmSource,
  questions: readonly Question[],
  { signal }: { signal?: AbortSignal } = {},
): Promise<number> {
  const processor = await source.family.loadProcessor(source.config, source.store);
  const model = await VisionLanguageModel.load(source, { signal });
  const rows = questionRows(questions);
  const total = { nll: 0, tokens: 0 };
  try {
    for (let start = 0; start < rows.length; start += ROWS) {
      const packed = await packReferences(source, processor, rows.slice(start, start + ROWS));
      const embedded = embedReferences(model, packed);
      try {
        const { scores } = await scoreOverCache(model, embedded, source.cache, { signal });
        for (const { nll, tokens } of scores) {
          total.nll += nll;
          total.tokens += tokens;
        }
      } finally {
        embedded.dispose();
      }
    }
  } finally {
    model.dispose();
  }
  return total.nll / total.tokens;
}
