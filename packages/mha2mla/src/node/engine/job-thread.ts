/** A thread that does jobs, one after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { inlineRunner } from '../../convert/inline-runner';
import type { JobRuntime } from '../../jobs/job';
import { parseJob } from '../../jobs/parse-job';
import { type JobRunner, runJob } from '../../jobs/run-job';
import { replyOf } from '../ask-thread';
import { type BackendChoice, useBackend } from '../register-backends';
import { jobModels } from './job-models';
import { openStore, type StorePlace } from './open-store';

export interface JobThreadData {
  store: StorePlace;
  runtime: JobRuntime;
}

const { store: place, runtime } = workerData as JobThreadData;
const port = parentPort!;
const ready = start();
ready.catch(() => {}); // told with the first answer

port.on('message', async (job: unknown) => {
  port.postMessage(await replyOf(async () => runJob(await ready, parseJob(job))));
});

async function start(): Promise<JobRunner> {
  await useBackend(runtime.backend as BackendChoice);
  const store = await openStore(place);
  return { store, runtime, models: jobModels(store), factorize: inlineRunner };
}
