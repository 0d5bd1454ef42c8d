/**
 * The published models that the families were made for: what their config.json says (keys that
 * loading reads), and the tensors that their files hold, by name and shape.
 */

type Shape = readonly number[];

export interface PublishedModel {
  name: string;
  config: Record<string, unknown>;
  dtype: 'F16' | 'BF16';
  tensors: ReadonlyMap<string, Shape>;
}

interface Decoder {
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  vocab_size: number;
}

const LLAMA_7B: Decoder = {
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  vocab_size: 32064,
};
const LLAMA_13B: Decoder = {
  ...LLAMA_7B,
  hidden_size: 5120,
  intermediate_size: 13824,
  num_hidden_layers: 40,
  num_attention_heads: 40,
  num_key_value_heads: 40,
};
const MISTRAL_7B: Decoder = { ...LLAMA_7B, intermediate_size: 14336, num_key_value_heads: 8 };
const LLAMA3_8B: Decoder = { ...MISTRAL_7B, vocab_size: 128_320 };
const QWEN_3B: Decoder = {
  hidden_size: 2048,
  intermediate_size: 11008,
  num_hidden_layers: 36,
  num_attention_heads: 16,
  num_key_value_heads: 2,
  vocab_size: 151_936,
};
const QWEN_7B: Decoder = {
  hidden_size: 3584,
  intermediate_size: 18944,
  num_hidden_layers: 28,
  num_attention_heads: 28,
  num_key_value_heads: 4,
  vocab_size: 152_064,
};
const QWEN_72B: Decoder = {
  hidden_size: 8192,
  intermediate_size: 29568,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  vocab_size: 152_064,
};

const CLIP = {
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
const PINPOINTS = [
  [336, 672],
  [672, 336],
  [672, 672],
  [1008, 336],
  [336, 1008],
];
const LLAVA = {
  ignore_index: -100,
  image_token_index: 32_000,
  model_type: 'llava',
  pad_token_id: 32_001,
  projector_hidden_act: 'gelu',
  tie_word_embeddings: false,
  torch_dtype: 'float16',
  vision_config: CLIP,
  vision_feature_layer: -2,
  vision_feature_select_strategy: 'default',
};
const LLAVA_NEXT = {
  ...LLAVA,
  model_type: 'llava_next',
  image_grid_pinpoints: PINPOINTS,
  use_image_newline_parameter: true,
};
/** Configs state what differs from the class of the language model. */
const VICUNA = {
  max_position_embeddings: 4096,
  model_type: 'llama',
  rms_norm_eps: 1e-5,
  vocab_size: 32064,
};

export const LLAVA_1_5: readonly PublishedModel[] = [
  llava('llava-1.5-7b-hf', { ...LLAVA, text_config: VICUNA }, LLAMA_7B),
  llava('llava-1.5-13b-hf', { ...LLAVA, text_config: { ...VICUNA, ...LLAMA_13B } }, LLAMA_13B),
];

export const LLAVA_NEXT_MODELS: readonly PublishedModel[] = [
  llava(
    'llava-v1.6-mistral-7b-hf',
    {
      ...LLAVA_NEXT,
      text_config: {
        intermediate_size: 14336,
        max_position_embeddings: 32_768,
        model_type: 'mistral',
        num_key_value_heads: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 1_000_000,
        sliding_window: null,
        vocab_size: 32_064,
      },
    },
    MISTRAL_7B,
  ),
  llava(
    'llama3-llava-next-8b-hf',
    {
      ...LLAVA_NEXT,
      image_token_index: 128_256,
      pad_token_id: 128_257,
      text_config: {
        bos_token_id: 128_000,
        eos_token_id: 128_009,
        intermediate_size: 14336,
        max_position_embeddings: 8192,
        model_type: 'llama',
        num_key_value_heads: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 500_000,
        vocab_size: 128_320,
      },
    },
    LLAMA3_8B,
  ),
];

export const QWEN2_5_VL: readonly PublishedModel[] = [
  qwen('Qwen2.5-VL-3B-Instruct', QWEN_3B, { tied: true, visionWidth: 3420 }),
  qwen('Qwen2.5-VL-7B-Instruct', QWEN_7B, { tied: false, visionWidth: 3420 }),
  qwen('Qwen2.5-VL-72B-Instruct', QWEN_72B, { tied: false, visionWidth: 3456 }),
];

function llava(name: string, config: Record<string, unknown>, text: Decoder): PublishedModel {
  const { hidden_size: width } = text;
  const tensors = new Map<string, Shape>([
    ...decoderTensors(text, 'language_model.model', false),
    ['language_model.lm_head.weight', [text.vocab_size, width]],
    ...clipTensors('vision_tower.vision_model'),
    ...linear('multi_modal_projector.linear_1', [width, CLIP.hidden_size]),
    ...linear('multi_modal_projector.linear_2', [width, width]),
  ]);
  if (config.model_type === 'llava_next') tensors.set('image_newline', [width]);
  return { name, config, dtype: 'F16', tensors };
}

function qwen(
  name: string,
  text: Decoder,
  { tied, visionWidth }: { tied: boolean; visionWidth: number },
): PublishedModel {
  const vision = {
    depth: 32,
    hidden_act: 'silu',
    hidden_size: 1280,
    intermediate_size: visionWidth,
    num_heads: 16,
    in_chans: 3,
    out_hidden_size: text.hidden_size,
    patch_size: 14,
    spatial_merge_size: 2,
    spatial_patch_size: 14,
    window_size: 112,
    fullatt_block_indexes: [7, 15, 23, 31],
    tokens_per_second: 2,
    temporal_patch_size: 2,
  };
  const config = {
    ...text,
    attention_dropout: 0,
    bos_token_id: 151_643,
    eos_token_id: 151_645,
    hidden_act: 'silu',
    image_token_id: 151_655,
    max_position_embeddings: 128_000,
    max_window_layers: text.num_hidden_layers,
    model_type: 'qwen2_5_vl',
    rms_norm_eps: 1e-6,
    rope_scaling: { type: 'mrope', mrope_section: [16, 24, 24] },
    rope_theta: 1_000_000,
    sliding_window: 32_768,
    tie_word_embeddings: tied,
    torch_dtype: 'bfloat16',
    use_sliding_window: false,
    video_token_id: 151_656,
    vision_config: vision,
    vision_end_token_id: 151_653,
    vision_start_token_id: 151_652,
    vision_token_id: 151_654,
  };
  const tensors = new Map<string, Shape>([
    ...qwenVisionTensors(vision.hidden_size, visionWidth, text.hidden_size),
    ...decoderTensors(text, 'model', true),
  ]);
  if (!tied) tensors.set('lm_head.weight', [text.vocab_size, text.hidden_size]);
  return { name, config, dtype: 'BF16', tensors };
}

function decoderTensors(text: Decoder, prefix: string, bias: boolean): Map<string, Shape> {
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

function clipTensors(prefix: string): Map<string, Shape> {
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

function qwenVisionTensors(width: number, inner: number, out: number): Map<string, Shape> {
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
function linear(name: string, shape: Shape): [string, Shape][] {
  return [
    [`${name}.weight`, shape],
    [`${name}.bias`, [shape[0]!]],
  ];
}
