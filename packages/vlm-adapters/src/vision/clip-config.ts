/** The `vision_config` of a CLIP tower, and which of its outputs the language model gets. */
import {
  configInteger,
  configNumber,
  configString,
  type ModelConfig,
  showJson,
} from '@mha2mla/checkpoint';
import { MAX_EDGE } from '../image/clip-image-processor-config';
import { type Activation, activation } from './activations';

/** Sizes of CLIP's vision transformer. */
export interface ClipConfig {
  hiddenSize: number;
  intermediateSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  imageSize: number;
  patchSize: number;
  layerNormEps: number;
  hiddenAct: Activation;
  /** Layers to run: the output of the last of them is used. */
  featureLayers: number;
  /** Whether the class token is dropped. */
  dropClassToken: boolean;
}

const CLIP = 'clip_vision_model';

/** ViT-L/14 at 336 pixels has 576. Scores of all pairs are held: 64 MB a head for so many. */
const MAX_PATCHES = 4096;

/** CLIPVisionConfig's values for keys that a `vision_config` leaves out: ViT-B/32. */
const CLASS_DEFAULTS = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  image_size: 224,
  patch_size: 32,
};
/** The LLaVAs' values where there is no `vision_config`: ViT-L/14 at 336 pixels. */
const ABSENT_DEFAULTS: typeof CLASS_DEFAULTS = {
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  image_size: 336,
  patch_size: 14,
};

/** Read and check a CLIP tower's config. @throws on another kind of tower, values out of range. */
export function parseClipConfig({ vision, raw }: ModelConfig): ClipConfig {
  const modelType = configString(vision, 'model_type', CLIP);
  if (modelType !== CLIP) {
    throw new RangeError(
      `parseClipConfig: vision_config.model_type must be ${CLIP}, got ${showJson(modelType)}. Other towers are not supported.`,
    );
  }
  // CLIP ViT-L/336 is 1024 wide with 24 layers; ten times that is beyond any published tower.
  const defaults = raw.vision_config == null ? ABSENT_DEFAULTS : CLASS_DEFAULTS;
  const integer = (key: keyof typeof CLASS_DEFAULTS, max: number) =>
    configInteger(vision, key, { min: 1, max, default: defaults[key] });
  const config = {
    hiddenSize: integer('hidden_size', 16_384),
    intermediateSize: integer('intermediate_size', 131_072),
    numHiddenLayers: integer('num_hidden_layers', 512),
    numAttentionHeads: integer('num_attention_heads', 512),
    imageSize: integer('image_size', MAX_EDGE),
    patchSize: integer('patch_size', 512),
  };
  if (config.hiddenSize % config.numAttentionHeads !== 0) {
    throw new RangeError(
      `parseClipConfig: vision_config.hidden_size must be a multiple of num_attention_heads, got ${config.hiddenSize} and ${config.numAttentionHeads}.`,
    );
  }
  if (config.patchSize > config.imageSize) {
    throw new RangeError(
      `parseClipConfig: vision_config.patch_size must not exceed image_size, got ${config.patchSize} and ${config.imageSize}.`,
    );
  }
  const patches = Math.floor(config.imageSize / config.patchSize) ** 2;
  if (patches > MAX_PATCHES) {
    throw new RangeError(
      `parseClipConfig: vision_config must cut a picture into at most ${MAX_PATCHES} patches, got ${patches}.`,
    );
  }
  return {
    ...config,
    // 0 would divide a constant row by zero; CLIP has 1e-5.
    layerNormEps: configNumber(vision, 'layer_norm_eps', { min: 1e-12, max: 0.1, default: 1e-5 }),
    hiddenAct: activation(vision.hidden_act ?? 'quick_gelu'),
    featureLayers: featureLayers(raw.vision_feature_layer ?? -2, config.numHiddenLayers),
    dropClassToken: dropsClassToken(raw.vision_feature_select_strategy ?? 'default'),
  };
}

/** `vision_feature_layer` counts hidden states, of which the first is the embedding. */
function featureLayers(value: unknown, layers: number): number {
  const index = typeof value === 'number' && value < 0 ? layers + 1 + value : value;
  if (typeof index === 'number' && Number.isSafeInteger(index) && index >= 0 && index <= layers) {
    return index;
  }
  throw new RangeError(
    `parseClipConfig: vision_feature_layer must name one of ${layers + 1} hidden states, got ${showJson(value)}.`,
  );
}

function dropsClassToken(strategy: unknown): boolean {
  if (strategy === 'default' || strategy === 'full') return strategy === 'default';
  throw new RangeError(
    `parseClipConfig: vision_feature_select_strategy must be default or full, got ${showJson(strategy)}.`,
  );
}
