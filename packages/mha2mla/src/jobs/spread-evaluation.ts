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
import { abortion, type SpreadRun } from './spread-run';
import { type AskSpec, storeQuestion } from './stored-question';
import { putValue, readValue } from './stored-value';

export interface SpreadEvaluateOptions extends SpreadRun, Omit<EvaluateOptions, 'onProgress'> {
  weights?: WeightFormat;
}

/**
 * @returns what `evaluate` does, to the bit.
 * @throws RangeError as `evaluate`; JobError of the first job that failed; the signal's reason.
 */
export async function spreadEvaluation(
  questions: readonly Question[],
  { engine, store: shared, run, model, signal, onProgress, ...options }: SpreadEvaluateOptions,
): Promise<Evaluation> {
  const { batchSize, ...spec } = options;
  const batches = evaluationBatches(questions, options);
  const store = shared.ofRun(run);
  const plan = await putValue(store, spec satisfies AskSpec);
  const total = batches.length;
  let loaded = 0;
  const ask = async (asked: ContentRef): Promise<BatchResult> => {
    const job = { kind: 'evaluate', run, model, plan, questions: asked } as const;
    const { result } = await engine.run(job, { total });
    onProgress?.({ phase: 'jobs', loaded: ++loaded, total });
    return (await readValue(store, result!)) as BatchResult;
  };
  const asking: Promise<BatchResult>[] = [];
  let failure: { error: unknown } | undefined;
  // One after the other: pictures of one batch are held at a time.
  for (const batch of batches) {
    signal?.throwIfAborted();
    if (failure) throw failure.error;
    const stored = await Promise.all(batch.map((index) => storeQuestion(questions[index]!)));
    const answer = ask(await putValue(store, stored));
    answer.catch((error: unknown) => {
      failure ??= { error };
    });
    asking.push(answer);
  }
  const results = await Promise.race([Promise.all(asking), abortion(signal)]);
  await shared.removeRun(run);
  return summarise(questions, batches, results);
}
