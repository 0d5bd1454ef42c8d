/** Names and shapes of what the published models are made of, as their files have them. */

export type Shape = readonly number[];

export interface Decoder {
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  vocab_size: number;
}

export const CLIP = {
  hidden_size: 1024,
  image_size: 336,
  intermediate_size: 4096,
  model_type: 'clip_vision_model',
  num_attention_heads: 16,
  num_hidden_layers: 24,
  patch_size: 14,
  projection_dim: 768,
  vocab_size: 32_000,
};
export function decoderTensors(text: Decoder, prefix: string, bias: boolean): Map<string, Shape> {
  const { hidden_size: width, intermediate_size: inner } = text;
  const keyWidth = (width / text.num_attention_heads) * text.num_key_value_heads;
  const tensors = new Map<string, Shape>([
    [`${prefix}.embed_tokens.weight`, [text.vocab_size, width]],
    [`${prefix}.norm.weight`, [width]],
  ]);
  for (let i = 0; i < text.num_hidden_layers; i++) {
    const layer = `${prefix}.layers.${i}`;
    for (const [part, rows] of [
      ['q_proj', width],
      ['k_proj', keyWidth],
      ['v_proj', keyWidth],
    ] as const) {
      tensors.set(`${layer}.self_attn.${part}.weight`, [rows, width]);
      if (bias) tensors.set(`${layer}.self_attn.${part}.bias`, [rows]);
    }
    tensors.set(`${layer}.self_attn.o_proj.weight`, [width, width]);
    tensors.set(`${layer}.mlp.gate_proj.weight`, [inner, width]);
    tensors.set(`${layer}.mlp.up_proj.weight`, [inner, width]);
    tensors.set(`${layer}.mlp.down_proj.weight`, [width, inner]);
    tensors.set(`${layer}.input_layernorm.weight`, [width]);
    tensors.set(`${layer}.post_attention_layernorm.weight`, [width]);
  }
  return tensors;
}

export function clipTensors(prefix: string): Map<string, Shape> {
  const { hidden_size: width, intermediate_size: inner, patch_size: patch, image_size } = CLIP;
  const norm = (name: string) => linear(`${prefix}.${name}`, [width]);
  const embeddings = `${prefix}.embeddings`;
  const tensors: [string, Shape][] = [
    [`${embeddings}.class_embedding`, [width]],
    [`${embeddings}.patch_embedding.weight`, [width, 3, patch, patch]],
    [`${embeddings}.position_embedding.weight`, [1 + (image_size / patch) ** 2, width]],
    ...norm('pre_layrnorm'),
    ...norm('post_layernorm'),
  ];
  for (let i = 0; i < CLIP.num_hidden_layers; i++) {
    const layer = `encoder.layers.${i}`;
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) {
      tensors.push(...linear(`${prefix}.${layer}.self_attn.${part}`, [width, width]));
    }
    tensors.push(...linear(`${prefix}.${layer}.mlp.fc1`, [inner, width]));
    tensors.push(...linear(`${prefix}.${layer}.mlp.fc2`, [width, inner]));
    tensors.push(...norm(`${layer}.layer_norm1`), ...norm(`${layer}.layer_norm2`));
  }
  return new Map(tensors);
}

export function qwenVisionTensors(width: number, inner: number, out: number): Map<string, Shape> {
  const tensors: [string, Shape][] = [
    ['visual.patch_embed.proj.weight', [width, 3, 2, 14, 14]],
    ['visual.merger.ln_q.weight', [width]],
    ...linear('visual.merger.mlp.0', [4 * width, 4 * width]),
    ...linear('visual.merger.mlp.2', [out, 4 * width]),
  ];
  for (let i = 0; i < 32; i++) {
    const block = `visual.blocks.${i}`;
    tensors.push([`${block}.norm1.weight`, [width]], [`${block}.norm2.weight`, [width]]);
    tensors.push(...linear(`${block}.attn.qkv`, [3 * width, width]));
    tensors.push(...linear(`${block}.attn.proj`, [width, width]));
    tensors.push(...linear(`${block}.mlp.gate_proj`, [inner, width]));
    tensors.push(...linear(`${block}.mlp.up_proj`, [inner, width]));
    tensors.push(...linear(`${block}.mlp.down_proj`, [width, inner]));
  }
  return new Map(tensors);
}

/** A weight and its bias. */
export function linear(name: string, shape: Shape): [string, Shape][] {
  return [
    [`${name}.weight`, shape],
    [`${name}.bias`, [shape[0]!]],
  ];
}
