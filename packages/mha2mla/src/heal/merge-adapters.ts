import type { AttachedAdapters } from './attach-adapters';

/**
 * Weights as on disk by the decoder's names, such as `layers.0.self_attn.q_proj.weight` [out, in], or
 * what reads them.
 */
export type MergedWeights = ReadonlyMap<string, Float32Array | (() => Promise<Float32Array>)>;

/** Read what training made of the decoder's weights, adapters folded in, in f32. */
export async function mergeAdapters({
  changed,
}: AttachedAdapters): Promise<Map<string, Float32Array>> {
  const merged = new Map<string, Float32Array>();
  for (const [name, read] of changed) {
    const weight = read();
    merged.set(name, (await weight.data()) as Float32Array);
    weight.dispose();
  }
  return merged;
}
