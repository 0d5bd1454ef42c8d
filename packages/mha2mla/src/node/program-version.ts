import * as tf from '@tensorflow/tfjs-core';

/** Written in by the build; the sources themselves are no version. */
const VERSION = process.env.MHA2MLA_VERSION ?? 'sources';

/** What decides the bytes of a result beside options and inputs: our version, and that of tfjs. */
export function programVersion(): string {
  return `mha2mla-${VERSION}+tfjs-${tf.version_core}`;
}
