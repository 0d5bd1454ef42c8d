/** Write one converted layer as a shard: what is kept is copied, what is new comes encoded. */
import { type Dtype, type TensorEntry, writeSafetensors } from '@mha2mla/checkpoint';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { ResultOutput } from '../output/result-output';
import { type KeptPlan, keptEntries, readKept } from './kept-tensors';
import { isReplaced, type StoredLayer } from './layer-source';
import type { LayerTensor, LayerWeights } from './layer-weights';
import { roundValues } from './round-values';

/**
 * @param fresh tensors that take the place of q, k and v, by name below the layer's prefix.
 * @param dtype of the new tensors; `plan` says how the others are written.
 * @returns the entries of the shard.
 */
export async function writeLayer(
  source: VlmSource,
  output: ResultOutput,
  shard: string,
  layer: StoredLayer,
  fresh: LayerWeights,
  { dtype, plan }: { dtype: Dtype; plan: KeptPlan },
): Promise<TensorEntry[]> {
  const kept = layer.tensors.filter((tensor) => !isReplaced(layer, tensor));
  const byName = new Map<string, LayerTensor>(
    [...fresh].map(([name, tensor]) => [layer.prefix + name, tensor]),
  );
  const entries: TensorEntry[] = [
    ...kept.flatMap((tensor) => keptEntries(source.checkpoint, tensor, plan)),
    ...[...byName].map(([name, { shape }]) => ({ name, shape, dtype })),
  ];
  await output.write(shard, (sink) =>
    writeSafetensors(
      sink,
      entries,
      (entry) => byName.get(entry.name)?.values ?? readKept(source.checkpoint, entry),
    ),
  );
  return entries;
}

/** The name of one of `count` shards, as Hugging Face has it; `number` counts from 0. */
export function shardName(number: number, count: number): string {
  const digits = (value: number) => String(value).padStart(5, '0');
  return `model-${digits(number + 1)}-of-${digits(count)}.safetensors`;
}

/** The precision in which a layer stores its query projection. */
export function layerDtype({ tensors }: StoredLayer): Dtype {
  const query = tensors.find(({ name }) => name.endsWith('self_attn.q_proj.weight'));
  if (!query) throw new RangeError('layerDtype: a layer must have self_attn.q_proj, got none.');
  return query.dtype;
}

/**
 * A layer as it will be read back: its values rounded to the stored precision.
 * @param prefix before each name, for the message where a value does not fit.
 */
export function roundLayer(weights: LayerWeights, dtype: Dtype, prefix: string): LayerWeights {
  return new Map(
    [...weights].map(([name, { shape, values }]) => [
      name,
      { shape, values: roundValues(prefix + name, values, dtype) },
    ]),
  );
}
