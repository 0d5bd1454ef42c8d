/**
 * Defaults of the transformers config classes for keys that published configs leave out (LLaVA-1.5
 * publishes only 6 of LlamaConfig's keys). A model type that is not listed must state its keys.
 */

/** Values by the config's key; absent means that the config must state it. */
export type TextDefaults = Readonly<Record<string, number | undefined>>;

// configuration_llama.py, configuration_mistral.py, configuration_qwen2.py,
// configuration_qwen2_5_vl.py of transformers 4.51.0.
const LLAMA: TextDefaults = {
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  vocab_size: 32000,
  max_position_embeddings: 2048,
  bos_token_id: 1,
  eos_token_id: 2,
};
const MISTRAL: TextDefaults = {
  ...LLAMA,
  intermediate_size: 14336,
  num_key_value_heads: 8,
  max_position_embeddings: 131072,
};
const QWEN2: TextDefaults = {
  hidden_size: 4096,
  intermediate_size: 22016,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  vocab_size: 151936,
  max_position_embeddings: 32768,
};
const QWEN2_5_VL: TextDefaults = {
  hidden_size: 8192,
  intermediate_size: 29568,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_theta: 1000000,
  vocab_size: 152064,
  max_position_embeddings: 32768,
};

const BY_TYPE: ReadonlyMap<string, TextDefaults> = new Map([
  ['llama', LLAMA],
  ['mistral', MISTRAL],
  ['qwen2', QWEN2],
  ['qwen2_5_vl', QWEN2_5_VL],
  ['qwen2_5_vl_text', QWEN2_5_VL],
]);

/** Defaults of a text model type; empty for one that is not known. */
export function textDefaults(modelType: string): TextDefaults {
  return BY_TYPE.get(modelType) ?? {};
}
