/** A thread of `factorPool`: answers factor job after factor job. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadLinearAlgebra } from '@mha2mla/lowrank';
import { type FactorJob, runFactorJob } from '../convert/run-factor-job';
import { replyOf } from './ask-thread';

const port = parentPort!;
const loading = loadLinearAlgebra(workerData as WebAssembly.Module);
loading.catch(() => {}); // told with the first answer

port.on('message', async (job: FactorJob) => {
  const reply = await replyOf(async () => runFactorJob(await loading, job));
  port.postMessage(reply, 'result' in reply ? buffersOf(reply.result) : []);
});

/** The memory of a result, which is the asking thread's from then on. */
function buffersOf(result: object): ArrayBuffer[] {
  const buffers = Object.values(result).flatMap((value) =>
    ArrayBuffer.isView(value) ? [value.buffer as ArrayBuffer] : [],
  );
  return [...new Set(buffers)];
}
