import * as tf from '@tensorflow/tfjs-core';
import type { AttachedAdapters } from './attach-adapters';

/** Weights [out, in] by the decoder's names, such as `layers.0.self_attn.q_proj.weight`. */
export type MergedWeights = ReadonlyMap<string, Float32Array>;

/** Fold adapters into the weights that they adapt, in f32, laid out as on disk. */
export async function mergeAdapters({ modules }: AttachedAdapters): Promise<MergedWeights> {
  const merged = new Map<string, Float32Array>();
  for (const [module, adapted] of modules) {
    const weight = tf.tidy(() => tf.transpose(adapted.merge())); // [out, in]
    merged.set(weightName(module), (await weight.data()) as Float32Array);
    weight.dispose();
  }
  return merged;
}

/** The name of a module's weight. */
export function weightName(module: string): string {
  return `${module}.weight`;
}
