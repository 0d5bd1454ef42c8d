import type { LayerTensor } from '../convert/layer-weights';
import type { AttachedAdapters } from './attach-adapters';

/** A weight as on disk, such as [out, in], or what reads it. */
export type MergedWeight = Float32Array | (() => Promise<Float32Array>);

/** By the decoder's names, such as `layers.0.self_attn.q_proj.weight`. */
export type MergedWeights = ReadonlyMap<string, MergedWeight>;

/** Read what training made of the decoder's weights, adapters folded in, in f32, with their shapes. */
export async function readChanged({
  changed,
}: Pick<AttachedAdapters, 'changed'>): Promise<Map<string, LayerTensor>> {
  const weights = new Map<string, LayerTensor>();
  for (const [name, read] of changed) {
    const weight = read();
    weights.set(name, { shape: weight.shape, values: (await weight.data()) as Float32Array });
    weight.dispose();
  }
  return weights;
}

/** The same, values alone. */
export async function mergeAdapters(
  adapters: AttachedAdapters,
): Promise<Map<string, Float32Array>> {
  const weights = await readChanged(adapters);
  return new Map([...weights].map(([name, { values }]) => [name, values]));
}
