/** Ask a model questions by jobs that an engine does: a batch each, wherever its workers are. */
import type { WeightFormat } from '@mha2mla/mla-runtime';
import type { Question } from '../data/question';
import type { BatchResult } from '../evaluate/ask-batch';
import {
  type EvaluateOptions,
  type Evaluation,
  evaluationBatches,
  summarise,
} from '../evaluate/evaluate';
import type { ContentRef } from './job-store';
import { handled, openRun, type SpreadRun } from './spread-run';
import { type AskSpec, storeQuestion } from './stored-question';
import { putValue, readValue } from './stored-value';

/** Options of `spreadEvaluation`. */
export interface SpreadEvaluateOptions extends SpreadRun, Omit<EvaluateOptions, 'onProgress'> {
  weights?: WeightFormat;
}

/**
 * @returns what `evaluate` does, to the bit.
 * @throws RangeError as `evaluate`; JobError of the first job that failed; the signal's reason.
 */
export async function spreadEvaluation(
  questions: readonly Question[],
  options: SpreadEvaluateOptions,
): Promise<Evaluation> {
  const { store: shared, run, model, cache, maxTokens, weights } = options;
  const batches = evaluationBatches(questions, options);
  const store = shared.ofRun(run);
  const work = openRun(options);
  work.expect(batches.length);

  const ask = async (asked: ContentRef, plan: ContentRef): Promise<BatchResult> => {
    const { result } = await work.run({ kind: 'evaluate', run, model, plan, questions: asked });
    return (await readValue(store, result!)) as BatchResult;
  };
  const askAll = async (): Promise<BatchResult[]> => {
    const spec: AskSpec = { cache, maxTokens, weights };
    const plan = await work.write(() => putValue(store, spec));
    const asking: Promise<BatchResult>[] = [];
    // One after the other: pictures of one batch are held at a time.
    for (const batch of batches) {
      await work.write(async () => {
        const stored = await Promise.all(batch.map((index) => storeQuestion(questions[index]!)));
        asking.push(handled(ask(await putValue(store, stored), plan)));
      });
    }
    return Promise.all(asking);
  };
  const results = await work.until(askAll());
  await shared.removeRun(run);
  return summarise(questions, batches, results);
}
