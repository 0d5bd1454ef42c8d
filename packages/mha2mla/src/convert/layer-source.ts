/** Reads layers of a checkpoint: stored names, which tensors a conversion replaces, f32 values. */
import type { TensorInfo } from '@mha2mla/checkpoint';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { LayerTensor, LayerWeights } from './layer-weights';

/** What a conversion replaces, by name below a layer's prefix. */
const REPLACED = /^self_attn\.[qkv]_proj\.(weight|bias)$/;

export interface StoredLayer {
  /** Before each of the layer's stored names, such as `language_model.model.layers.0.`. */
  prefix: string;
  tensors: readonly TensorInfo[];
}

/** Find the stored tensors of a layer. */
export function storedLayer({ weights, checkpoint }: VlmSource, index: number): StoredLayer {
  const norm = 'input_layernorm.weight';
  const stored = weights.storedName(`layers.${index}.${norm}`);
  if (stored === undefined) {
    throw new RangeError(
      `storedLayer: the checkpoint must have layer ${index} by config.json, got none.`,
    );
  }
  const prefix = stored.slice(0, -norm.length);
  const tensors = [...checkpoint.tensors.values()].filter(({ name }) => name.startsWith(prefix));
  return { prefix, tensors };
}

/** Whether a conversion replaces this tensor of a layer. */
export function isReplaced(layer: StoredLayer, { name }: TensorInfo): boolean {
  return REPLACED.test(name.slice(layer.prefix.length));
}

/** Read a whole layer as f32. */
export async function readLayer(source: VlmSource, layer: StoredLayer): Promise<LayerWeights> {
  const weights = new Map<string, LayerTensor>();
  for (const { name, shape } of layer.tensors) {
    const values = await source.checkpoint.readFloat32(name);
    weights.set(name.slice(layer.prefix.length), { shape, values });
  }
  return weights;
}
