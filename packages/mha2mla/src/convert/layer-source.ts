/** Reads layers of a checkpoint: stored names, which tensors a conversion replaces, f32 values. */
import type { TensorInfo } from '@mha2mla/checkpoint';
import type { DecoderConfig, WeightReader } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { joinAttention } from './join-attention';
import type { LayerTensor, LayerWeights } from './layer-weights';

/** What a conversion replaces, of an original or of partial RoPE, by name below a layer's prefix. */
const REPLACED = /^self_attn\.([qkv]_proj|k_r_proj|kv_proj\.up_[kv])\.(weight|bias)$/;

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

/** Hides what a conversion replaces: a layer's form is read off what takes its place. */
export function keptReader(weights: WeightReader): WeightReader {
  return {
    shape: (name) =>
      REPLACED.test(name.replace(/^layers\.\d+\./, '')) ? undefined : weights.shape(name),
    read: (name, expected) => weights.read(name, expected),
  };
}

/**
 * Check what the decoder knows of a layer, each tensor: there, of the shape that the config gives,
 * and finite. Others, such as buffers of older checkpoints, are only ever copied.
 * @returns the attention's tensors as f32, of partial RoPE in the form of an original's. The rest of a layer, two thirds, is read where it is run,
 *   so that it is not held while factors are computed.
 * @throws RangeError naming the tensor.
 */
export async function readAttention(
  { config, weights }: VlmSource,
  { index }: StoredLayer,
): Promise<LayerWeights> {
  const layer = new Map<string, LayerTensor>();
  for (const [name, shape] of layerShapes(config.decoder, index)) {
    const stored = `layers.${index}.${name}`;
    // Only biases may be absent; the reader names any other tensor that is.
    if (name.endsWith('.bias') && !weights.shape(stored)) continue;
    const values = await weights.read(stored, shape);
    if (name.startsWith('self_attn.')) layer.set(name, { shape, values });
  }
  const pairs = config.decoder.mla?.ropePairs[index];
  return pairs ? joinAttention(config.decoder, layer, pairs) : layer;
}

/** Shapes of a layer's tensors, original or of partial RoPE, by name below its prefix. */
function layerShapes(config: DecoderConfig, index: number): [string, number[]][] {
  const { hiddenSize, intermediateSize, numAttentionHeads } = config;
  const queryWidth = numAttentionHeads * config.headDim;
  const projections = {
    'self_attn.q_proj': [queryWidth, hiddenSize],
    ...keyShapes(config, index),
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

/** Shapes of a layer's key and value projections; those of no rows are not stored, or hold nothing. */
function keyShapes(config: DecoderConfig, index: number): Record<string, [number, number]> {
  const { hiddenSize, numKeyValueHeads, headDim, mla } = config;
  const keyWidth = numKeyValueHeads * headDim;
  if (!mla) {
    return {
      'self_attn.k_proj': [keyWidth, hiddenSize],
      'self_attn.v_proj': [keyWidth, hiddenSize],
    };
  }
  const turned = 2 * numKeyValueHeads * mla.ropePairs[index]![0]!.length;
  return {
    ...(turned > 0 && { 'self_attn.k_r_proj': [turned, hiddenSize] }),
    ...(turned < keyWidth && { 'self_attn.kv_proj.up_k': [keyWidth - turned, hiddenSize] }),
    'self_attn.kv_proj.up_v': [keyWidth, hiddenSize],
  };
}
