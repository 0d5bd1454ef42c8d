/**
 * A LLaVA of a few thousand random weights in memory, for tests: a decoder 32 wide with 4 heads of
 * 8 dims, and a CLIP of two layers on pictures of 2 x 2 patches.
 */
import {
  type Dtype,
  memoryStore,
  type TensorEntry,
  type TensorValues,
  writeSafetensors,
} from '@mha2mla/checkpoint';
import { llava, type ModelInputs, openVlm, type VlmSource } from '@mha2mla/vlm-adapters';
import { memoryOutput, writeJson } from '../output/result-output';

export interface TinyLlavaOptions {
  layers?: number;
  kvHeads?: number;
  dtype?: Dtype;
  /** Whether q, k and v have biases, as in Qwen. */
  bias?: boolean;
  /** Tensors that are other than they would be, or more, or (`undefined`) left out. */
  tensors?: Record<string, TinyTensor | undefined>;
  /** Other files of the folder. */
  files?: Record<string, Uint8Array>;
}

export interface TinyTensor {
  dtype: Dtype;
  shape: readonly number[];
  values: TensorValues;
}

const [WIDTH, HEADS, HEAD_DIM, INNER, VOCABULARY, IMAGE_TOKEN] = [32, 4, 8, 48, 40, 38];
const [TOWER_WIDTH, TOWER_INNER, IMAGE_SIZE, PATCH] = [16, 24, 28, 14];

/** Write the checkpoint. @returns its files by name. */
export async function tinyLlava(options: TinyLlavaOptions = {}): Promise<Map<string, Uint8Array>> {
  const { dtype = 'F32', files = {} } = options;
  const tensors = new Map<string, TinyTensor>();
  for (const [index, [name, shape]] of Object.entries(shapesOf(options)).entries()) {
    tensors.set(name, { dtype, shape, values: weightsOf(name, shape, index) });
  }
  for (const [name, tensor] of Object.entries(options.tensors ?? {})) {
    if (tensor) tensors.set(name, tensor);
    else tensors.delete(name);
  }
  const output = memoryOutput();
  const entries = [...tensors].map(([name, { dtype, shape }]): TensorEntry => {
    return { name, dtype, shape };
  });
  await output.write('model.safetensors', (sink) =>
    writeSafetensors(sink, entries, ({ name }) => tensors.get(name)!.values),
  );
  await writeJson(output, 'config.json', configOf(options));
  return new Map([...output.files, ...Object.entries(files)]);
}

export async function openTinyLlava(options?: TinyLlavaOptions): Promise<VlmSource> {
  return openVlm(memoryStore(await tinyLlava(options)), { families: [llava] });
}

/** Prompts of 14 tokens or a few less, right-padded, each with a picture behind two text tokens. */
export function tinyInputs(seed = 1, batch = 6): ModelInputs {
  const length = 14;
  const random = uniform(seed);
  const inputIds = Int32Array.from({ length: batch * length }, (_, i) => {
    const column = i % length;
    return column >= 2 && column < 6 ? IMAGE_TOKEN : Math.floor(((random() + 1) / 2) * IMAGE_TOKEN);
  });
  const attentionMask = inputIds.map((_, i) => {
    return i % length < length - (Math.floor(i / length) % 3) ? 1 : 0;
  });
  const shape = [batch, 3, IMAGE_SIZE, IMAGE_SIZE];
  const data = Float32Array.from({ length: sizeOf(shape) }, () => 2 * random());
  return { batch, length, inputIds, attentionMask, pixelValues: { data, shape } };
}

function configOf({ layers = 2, kvHeads = 2, dtype = 'F32' }: TinyLlavaOptions) {
  const names: Partial<Record<Dtype, string>> = { BF16: 'bfloat16', F16: 'float16' };
  return {
    model_type: 'llava',
    torch_dtype: names[dtype] ?? 'float32',
    image_token_index: IMAGE_TOKEN,
    vision_feature_layer: -2,
    text_config: {
      model_type: 'llama',
      hidden_size: WIDTH,
      intermediate_size: INNER,
      num_hidden_layers: layers,
      num_attention_heads: HEADS,
      num_key_value_heads: kvHeads,
      head_dim: HEAD_DIM,
      vocab_size: VOCABULARY,
      rms_norm_eps: 1e-5,
      rope_theta: 100,
    },
    vision_config: {
      model_type: 'clip_vision_model',
      hidden_size: TOWER_WIDTH,
      intermediate_size: TOWER_INNER,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      image_size: IMAGE_SIZE,
      patch_size: PATCH,
    },
  };
}

type Shapes = Record<string, readonly number[]>;

function shapesOf({ layers = 2, kvHeads = 2, bias = false }: TinyLlavaOptions): Shapes {
  const tower = 'vision_tower.vision_model';
  const layer = (names: (at: string) => Shapes, prefix: string, count: number) =>
    Object.assign({}, ...Array.from({ length: count }, (_, i) => names(`${prefix}.${i}`)));
  return {
    'language_model.model.embed_tokens.weight': [VOCABULARY, WIDTH],
    'language_model.model.norm.weight': [WIDTH],
    'language_model.lm_head.weight': [VOCABULARY, WIDTH],
    ...layer((at) => decoderShapes(at, kvHeads, bias), 'language_model.model.layers', layers),
    [`${tower}.embeddings.class_embedding`]: [TOWER_WIDTH],
    [`${tower}.embeddings.patch_embedding.weight`]: [TOWER_WIDTH, 3, PATCH, PATCH],
    [`${tower}.embeddings.position_embedding.weight`]: [5, TOWER_WIDTH],
    ...linear(`${tower}.pre_layrnorm`, TOWER_WIDTH),
    ...layer(towerShapes, `${tower}.encoder.layers`, 2),
    ...linear('multi_modal_projector.linear_1', WIDTH, TOWER_WIDTH),
    ...linear('multi_modal_projector.linear_2', WIDTH, WIDTH),
  };
}

function decoderShapes(at: string, kvHeads: number, bias: boolean): Shapes {
  const attention = { q: HEADS * HEAD_DIM, k: kvHeads * HEAD_DIM, v: kvHeads * HEAD_DIM };
  return {
    [`${at}.input_layernorm.weight`]: [WIDTH],
    [`${at}.post_attention_layernorm.weight`]: [WIDTH],
    ...Object.fromEntries(
      Object.entries(attention).flatMap(([letter, outputs]) => [
        [`${at}.self_attn.${letter}_proj.weight`, [outputs, WIDTH]],
        ...(bias ? [[`${at}.self_attn.${letter}_proj.bias`, [outputs]]] : []),
      ]),
    ),
    [`${at}.self_attn.o_proj.weight`]: [WIDTH, HEADS * HEAD_DIM],
    [`${at}.mlp.gate_proj.weight`]: [INNER, WIDTH],
    [`${at}.mlp.up_proj.weight`]: [INNER, WIDTH],
    [`${at}.mlp.down_proj.weight`]: [WIDTH, INNER],
  };
}

function towerShapes(at: string): Shapes {
  const square = ['q', 'k', 'v', 'out'].map((letter) =>
    linear(`${at}.self_attn.${letter}_proj`, TOWER_WIDTH, TOWER_WIDTH),
  );
  return {
    ...linear(`${at}.layer_norm1`, TOWER_WIDTH),
    ...linear(`${at}.layer_norm2`, TOWER_WIDTH),
    ...Object.assign({}, ...square),
    ...linear(`${at}.mlp.fc1`, TOWER_INNER, TOWER_WIDTH),
    ...linear(`${at}.mlp.fc2`, TOWER_WIDTH, TOWER_INNER),
  };
}

function linear(at: string, ...shape: number[]): Shapes {
  return { [`${at}.weight`]: shape, [`${at}.bias`]: [shape[0]!] };
}

/** Maps of unit gain, biases of half that, norms about 1. */
function weightsOf(name: string, shape: readonly number[], seed: number): Float32Array {
  const random = uniform(seed + 1);
  const gain = Math.sqrt(3 / sizeOf(shape.slice(1)));
  const values = Float32Array.from({ length: sizeOf(shape) }, random);
  if (/norm\d?\.weight$/.test(name)) return values.map((value) => 1 + value / 4);
  return values.map((value) => value * (name.endsWith('.bias') ? 0.5 : gain));
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Uniform in [-1, 1) from a seed (mulberry32), the same on every machine. */
function uniform(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}
