/** Reads layers of a checkpoint: stored names, which tensors a conversion replaces, f32 values. */
import type { TensorInfo } from '@mha2mla/checkpoint';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { LayerTensor, LayerWeights } from './layer-weights';

/** What a conversion replaces, by name below a layer's prefix. */
const REPLACED = /^self_attn\.[qkv]_proj\.(weight|bias)$/;

export interface StoredLayer {
  index: number;
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
  return { index, prefix, tensors };
}

/** Whether a conversion replaces this tensor of a layer. */
export function isReplaced(layer: StoredLayer, { name }: TensorInfo): boolean {
  return REPLACED.test(name.slice(layer.prefix.length));
}

/**
 * Check what the decoder knows of a layer, each tensor: there, of the shape that the config gives,
 * and finite. Others, such as buffers of older checkpoints, are only ever copied.
 * @returns the attention's tensors as f32. The rest of a layer, two thirds, is read where it is run,
 *   so that it is not held while factors are computed.
 * @throws RangeError naming the tensor.
 */
export async function readAttention(
  { config, weights }: VlmSource,
  { index }: StoredLayer,
): Promise<LayerWeights> {
  const layer = new Map<string, LayerTensor>();
  for (const [name, shape] of layerShapes(config.decoder)) {
    const stored = `layers.${index}.${name}`;
    // Only biases may be absent; the reader names any other tensor that is.
    if (name.endsWith('.bias') && !weights.shape(stored)) continue;
    const values = await weights.read(stored, shape);
    if (name.startsWith('self_attn.')) layer.set(name, { shape, values });
  }
  return layer;
}

/** Shapes of an original layer's tensors, by name below its prefix. */
function layerShapes(config: DecoderConfig): [string, number[]][] {
  const { hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim } = config;
  const [queryWidth, keyWidth] = [numAttentionHeads * headDim, numKeyValueHeads * headDim];
  const projections = {
    'self_attn.q_proj': [queryWidth, hiddenSize],
    'self_attn.k_proj': [keyWidth, hiddenSize],
    'self_attn.v_proj': [keyWidth, hiddenSize],
    'self_attn.o_proj': [hiddenSize, queryWidth],
    'mlp.gate_proj': [intermediateSize, hiddenSize],
    'mlp.up_proj': [intermediateSize, hiddenSize],
    'mlp.down_proj': [hiddenSize, intermediateSize],
  };
  return [
    ['input_layernorm.weight', [hiddenSize]],
    ['post_attention_layernorm.weight', [hiddenSize]],
    ...Object.entries(projections).flatMap(([name, [outputs, inputs]]): [string, number[]][] => [
      [`${name}.weight`, [outputs!, inputs!]],
      [`${name}.bias`, [outputs!]],
    ]),
  ];
}
