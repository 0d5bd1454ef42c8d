import type { JobRuntime } from '../../jobs/job';
import { programVersion } from '../program-version';

/**
 * What this process computes by.
 * @param backend its name. Backends round differently, so all of a run's jobs are of one.
 */
export function jobRuntime(backend: string): JobRuntime {
  return { version: programVersion(), backend };
}
