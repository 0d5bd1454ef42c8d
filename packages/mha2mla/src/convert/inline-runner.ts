import { loadLinearAlgebra } from '@mha2mla/lowrank';
import { yieldToEventLoop } from '@mha2mla/mla-runtime';
import { type FactorResult, type FactorRunner, runFactorJob } from './run-factor-job';

/** Run factor jobs one after the other on this thread: for pages, and where a job is small. */
export const inlineRunner: FactorRunner = async (jobs, signal) => {
  const la = await loadLinearAlgebra();
  const results: FactorResult[] = [];
  for (const job of jobs) {
    await yieldToEventLoop();
    signal?.throwIfAborted();
    results.push(await runFactorJob(la, job));
  }
  return results;
};
