/** Do a job, unless it was done before, and note what it left. */
import type { WeightFormat } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { FactorRunner } from '../convert/run-factor-job';
import { type Job, type JobOutputs, type JobRuntime, jobKey, type ModelRef } from './job';
import { handleJob, type LoadedModel } from './job-handlers';
import type { JobStore, SharedStore } from './job-store';
import { parseOutputs } from './parse-job';

export interface JobRunner {
  store: Pick<SharedStore, 'ofRun'>;
  runtime: JobRuntime;
  /** Models of jobs; both throw JobError for one that has changed. */
  models: {
    /** Open one, once for all jobs on it. */
    open(model: ModelRef): Promise<VlmSource>;
    /** Load one whole; it is disposed when another is loaded. */
    load(model: ModelRef, weights?: WeightFormat): Promise<LoadedModel>;
  };
  factorize: FactorRunner;
}

/** @throws the error of the job's work, or the signal's reason. */
export async function runJob(
  { store: shared, runtime, models, factorize }: JobRunner,
  job: Job,
  signal?: AbortSignal,
): Promise<JobOutputs> {
  const store = shared.ofRun(job.run);
  const key = await jobKey(job, runtime);
  const done = await findOutputs(store, key);
  if (done) return done;
  signal?.throwIfAborted();
  const original = await models.open(job.model);
  const load = (weights?: WeightFormat) => models.load(job.model, weights);
  const context = { store, original, open: models.open, load, factorize, signal };
  const outputs = await handleJob(context, job);
  await store.writeRecord(key, JSON.stringify(outputs));
  return outputs;
}

/** What a job left, if it was done. Contents that nothing needs any more may be gone. */
export async function findOutputs(store: JobStore, key: string): Promise<JobOutputs | undefined> {
  const text = await store.readRecord(key);
  return text === undefined ? undefined : parseOutputs(text, key);
}
