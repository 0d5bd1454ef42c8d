import * as tf from '@tensorflow/tfjs-core';
import { version } from '../../../package.json';
import type { JobRuntime } from '../../jobs/job';

/**
 * What this process computes by.
 * @param backend its name. Backends round differently, so all of a run's jobs are of one.
 */
export function jobRuntime(backend: string): JobRuntime {
  return { version: `mha2mla-${version}+tfjs-${tf.version_core}`, backend };
}
