/**
 * The published models that the families were made for: what their config.json says (keys that
 * loading reads), and the tensors that their files hold.
 */

import {
  CLIP,
  clipTensors,
  type Decoder,
  decoderTensors,
  linear,
  qwenVisionTensors,
  type Shape,
} from './published-tensors';

export interface PublishedModel {
  name: string;
  config: Record<string, unknown>;
  dtype: 'F16' | 'BF16';
  tensors: ReadonlyMap<string, Shape>;
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
