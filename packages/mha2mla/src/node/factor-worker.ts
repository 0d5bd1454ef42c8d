/** A thread of `factorPool`: answers factor job after factor job. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadLinearAlgebra } from '@mha2mla/lowrank';
import { type FactorJob, runFactorJob } from '../convert/run-factor-job';
import { replyOf } from './ask-thread';
import { type BackendChoice, useBackend } from './register-backends';

export interface FactorWorkerData {
  module: WebAssembly.Module;
  /** The backend of the main thread, where a job needs one. */
  backend?: string;
}

const { module, backend } = workerData as FactorWorkerData;
const port = parentPort!;
const loading = load();
loading.catch(() => {}); // told with the first answer

port.on('message', async (job: FactorJob) => {
  const reply = await replyOf(async () => runFactorJob(await loading, job));
  port.postMessage(reply, 'result' in reply ? buffersOf(reply.result) : []);
});

async function load() {
  if (backend) await useBackend(backend as BackendChoice);
  return loadLinearAlgebra(module);
}

/** The memory of a result, which is the asking thread's from then on. */
function buffersOf(result: object): ArrayBuffer[] {
  const buffers = Object.values(result).flatMap((value) =>
    ArrayBuffer.isView(value) ? [value.buffer as ArrayBuffer] : [],
  );
  return [...new Set(buffers)];
}
