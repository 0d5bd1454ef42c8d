import * as tf from '@tensorflow/tfjs-core';
import type { JobRuntime } from '../../jobs/job';

/** Written in by the build; the sources themselves are no version. */
const VERSION = process.env.MHA2MLA_VERSION ?? 'sources';

/**
 * What this process computes by.
 * @param backend its name. Backends round differently, so all of a run's jobs are of one.
 */
export function jobRuntime(backend: string): JobRuntime {
  return { version: `mha2mla-${VERSION}+tfjs-${tf.version_core}`, backend };
}
