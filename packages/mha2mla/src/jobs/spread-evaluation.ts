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
  const { batchSize, ...ask } = options;
  const batches = evaluationBatches(questions, options);
  const store = shared.ofRun(run);
  const plan = await putValue(store, ask satisfies AskSpec);
  let loaded = 0;
  const askOne = async (batch: readonly number[]): Promise<BatchResult> => {
    const stored = await Promise.all(batch.map((index) => storeQuestion(questions[index]!)));
    const asked = await putValue(store, stored);
    const job = { kind: 'evaluate', run, model, plan, questions: asked } as const;
    const { result } = await engine.run(job, { total: batches.length });
    onProgress?.({ phase: 'jobs', loaded: ++loaded, total: batches.length });
    return (await readValue(store, result!)) as BatchResult;
  };
  const results = await Promise.race([Promise.all(batches.map(askOne)), abortion(signal)]);
  await shared.removeRun(run);
  return summarise(questions, batches, results);
}
