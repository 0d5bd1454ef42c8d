/**
 * The language model's part of a Hugging Face config, of both generations: nested `text_config` or
 * flat, `rope_theta` + `rope_scaling` or `rope_parameters`. A key that is absent has the default of
 * the transformers class of its `model_type`, since published configs leave such keys out.
 */
import {
  badConfig,
  type ConfigRecord,
  configBoolean,
  configInteger,
  configNumber,
  configString,
} from './config-values';
import { type RopeScaling, readRope } from './rope-config';
import { assertFullAttention } from './sliding-window';
import { textDefaults } from './text-defaults';
import { readTokenIds } from './token-ids';

/** A decoder-only language model. */
export interface TextConfig {
  modelType: string;
  hiddenSize: number;
  intermediateSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  numKeyValueHeads: number;
  headDim: number;
  rmsNormEps: number;
  ropeTheta: number;
  /** `undefined` for plain rotary embeddings. */
  ropeScaling?: RopeScaling;
  /** Rotary frequencies of the axes t, h, w; they sum to headDim / 2. */
  mropeSection?: number[];
  vocabSize: number;
  maxPositionEmbeddings: number;
  /** Whether q, k and v have a bias (Qwen2.5: always). */
  attentionBias: boolean;
  tieWordEmbeddings: boolean;
  hiddenAct: string;
  bosTokenId?: number;
  eosTokenIds: number[];
  padTokenId?: number;
}

// Caps: several times the largest published model, so that a product of two of them times the size
// of an element stays below 2^53, and a loop over heads or layers ends.
const MAX_HIDDEN = 65_536; // Llama 3.1 405B: 16,384
const MAX_INTERMEDIATE = 1_048_576; // Llama 3.1 405B: 53,248
const MAX_LAYERS = 1024; // 126
const MAX_HEADS = 1024; // 128
const MAX_HEAD_DIM = 1024; // 256
const MAX_VOCAB = 4_194_304; // Gemma 3: 262,208
// Heads may be wider together than the layer (Qwen3 0.6B: twice); caches and identities of that
// width are made for them, which must stay within a few times the weights.
const MAX_WIDENING = 8;
const MAX_POSITIONS = 16_777_216; // 2^24: beyond it float32 holds not every position

/**
 * Normalises the language model's config.
 * @param text the record that holds the text keys: `text_config`, or the whole config
 * @param top the whole config, for keys that either generation keeps there
 * @throws CheckpointError `bad-config`, `unsupported-config`
 */
export function readTextConfig(text: ConfigRecord, top: ConfigRecord): TextConfig {
  const modelType = configString(text, 'model_type', 'llama'); // the default of LLaVA's text_config
  const defaults = textDefaults(modelType);
  const integer = (key: string, max: number) =>
    configInteger(text, key, { min: 1, max, default: defaults[key] });
  const hiddenSize = integer('hidden_size', MAX_HIDDEN);
  const numAttentionHeads = integer('num_attention_heads', MAX_HEADS);
  const numHiddenLayers = integer('num_hidden_layers', MAX_LAYERS);
  const headDim = readHeadDim(text, hiddenSize, numAttentionHeads);
  assertFullAttention(text, modelType);
  assertNoMlpBias(text);
  return {
    modelType,
    hiddenSize,
    intermediateSize: integer('intermediate_size', MAX_INTERMEDIATE),
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads: readKeyValueHeads(text, numAttentionHeads, defaults.num_key_value_heads),
    headDim,
    // 0 would divide a row of zeros by zero; published models have 1e-5 and 1e-6.
    rmsNormEps: configNumber(text, 'rms_norm_eps', {
      min: 1e-12,
      max: 0.1,
      default: defaults.rms_norm_eps,
    }),
    ...readRope(text, headDim, defaults.rope_theta),
    vocabSize: integer('vocab_size', MAX_VOCAB),
    maxPositionEmbeddings: integer('max_position_embeddings', MAX_POSITIONS),
    attentionBias: configBoolean(text, 'attention_bias', modelType.startsWith('qwen2')),
    tieWordEmbeddings: configBoolean(
      text,
      'tie_word_embeddings',
      configBoolean(top, 'tie_word_embeddings', false),
    ),
    hiddenAct: configString(text, 'hidden_act', 'silu'),
    ...readTokenIds(text, top, defaults),
  };
}

function readHeadDim(text: ConfigRecord, hiddenSize: number, heads: number): number {
  const headDim = configInteger(text, 'head_dim', {
    min: 2,
    max: MAX_HEAD_DIM,
    default: hiddenSize / heads, // no integer when the heads do not divide the width: refused
  });
  // Rotary pairs are (i, i + headDim / 2).
  if (headDim % 2 !== 0) throw badConfig('readTextConfig', 'head_dim', 'be even', headDim);
  if (heads * headDim > MAX_WIDENING * hiddenSize) {
    const must = `with ${heads} heads be at most ${MAX_WIDENING} times hidden_size (${hiddenSize})`;
    throw badConfig('readTextConfig', 'head_dim', must, headDim);
  }
  return headDim;
}

function readKeyValueHeads(
  text: ConfigRecord,
  heads: number,
  fallback: number | undefined,
): number {
  const keyValueHeads = configInteger(text, 'num_key_value_heads', {
    min: 1,
    max: heads,
    default: fallback ?? heads,
  });
  if (heads % keyValueHeads !== 0) {
    throw badConfig(
      'readTextConfig',
      'num_key_value_heads',
      `divide num_attention_heads (${heads})`,
      keyValueHeads,
    );
  }
  return keyValueHeads;
}

function assertNoMlpBias(text: ConfigRecord): void {
  if (configBoolean(text, 'mlp_bias', false)) {
    throw badConfig(
      'readTextConfig',
      'mlp_bias',
      'be false; biases in the MLP are not supported',
      true,
    );
  }
}
