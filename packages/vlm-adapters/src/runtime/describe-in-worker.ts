import type { WeightSizeOptions } from '../weight-sizes';
import type { ModelSource } from './model';
import type { ModelDescription } from './model-description';
import type { Endpoint } from './worker-protocol';
import { workerRequests } from './worker-requests';

/**
 * `describeModel` in a worker whose script calls `serveModel`.
 * @throws what `describeModel` throws there, and ModelError `worker-failed`, as `connectModel` does.
 */
export async function describeInWorker(
  worker: Endpoint,
  source: ModelSource,
  { signal, ...options }: WeightSizeOptions & { signal?: AbortSignal } = {},
): Promise<ModelDescription> {
  const request = { type: 'describe' as const, source, options };
  const { ended } = workerRequests(worker).send(request, { signal });
  return (await ended) as ModelDescription;
}
