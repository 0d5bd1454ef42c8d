/** Small random decoders in every form on disk, for the tests: each map with a bias but the MLP's. */
import type { DecoderConfig } from './decoder-config';
import type { WeightReader } from './weight-reader';

export type RandomWeights = Map<string, { shape: number[]; values: Float32Array }>;

/** How a layer caches: not converted, partial RoPE alone, or a latent in one of the disk forms. */
export type LatentForm = 'original' | 'none' | 'joint' | 'split' | 'key' | 'value';

export interface RandomDecoderOptions {
  numKeyValueHeads?: number;
  form?: LatentForm;
  /** A latent for each modality. */
  decoupled?: boolean;
  groups?: number;
  qkRopeHeadDim?: number;
  /** Latent width C (of each side where they are separate). */
  latent?: number;
  mropeSection?: number[];
  /** Leave out the biases of these names' ends, such as `kv_proj_img.up_k`. */
  without?: string[];
  numHiddenLayers?: number;
}

const [D, H, N, VOCABULARY, INTERMEDIATE] = [24, 8, 4, 19, 32];

/** A config of 4 heads of 8; pairs differ by layer and KV head. */
export function randomConfig(options: RandomDecoderOptions = {}): DecoderConfig {
  const { numKeyValueHeads = 2, form = 'joint', groups = 1, qkRopeHeadDim = 4 } = options;
  const numHiddenLayers = options.numHiddenLayers ?? 2;
  const pairsOf = (seed: number) => {
    const chosen = Array.from({ length: qkRopeHeadDim / 2 }, (_, i) => (seed + i) % (H / 2));
    return Int32Array.from(chosen).sort();
  };
  const ropePairs = Array.from({ length: numHiddenLayers }, (_, layer) =>
    Array.from({ length: numKeyValueHeads }, (_, head) => pairsOf(layer + 2 * head)),
  );
  return {
    hiddenSize: D,
    intermediateSize: INTERMEDIATE,
    numHiddenLayers,
    numAttentionHeads: N,
    numKeyValueHeads,
    headDim: H,
    rmsNormEps: 1e-6,
    vocabSize: VOCABULARY,
    ropeTheta: 100,
    mropeSection: options.mropeSection,
    tieWordEmbeddings: false,
    mla: form === 'original' ? undefined : { ropePairs, groups },
  };
}

/** @param normal samples of N(0, 1) from a seed. */
export function randomWeights(
  config: DecoderConfig,
  options: RandomDecoderOptions,
  normal: (length: number, seed: number) => Float32Array,
): RandomWeights {
  const weights: RandomWeights = new Map();
  const add = (name: string, shape: number[], mean: number, deviation: number) => {
    const length = shape.reduce((a, b) => a * b, 1);
    const values = normal(length, weights.size + 1).map((v) => mean + deviation * v);
    weights.set(name, { shape, values });
  };
  const linear = (name: string, inFeatures: number, outFeatures: number, hasBias = true) => {
    add(`${name}.weight`, [outFeatures, inFeatures], 0, 1 / Math.sqrt(Math.max(inFeatures, 1)));
    const left = options.without?.some((end) => name.endsWith(end));
    if (hasBias && !left) add(`${name}.bias`, [outFeatures], 0, 0.5);
  };
  add('embed_tokens.weight', [VOCABULARY, D], 0, 1);
  add('norm.weight', [D], 1, 0.1);
  linear('lm_head', D, VOCABULARY, false);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const name = `layers.${layer}`;
    add(`${name}.input_layernorm.weight`, [D], 1, 0.1);
    add(`${name}.post_attention_layernorm.weight`, [D], 1, 0.1);
    linear(`${name}.mlp.gate_proj`, D, INTERMEDIATE, false);
    linear(`${name}.mlp.up_proj`, D, INTERMEDIATE, false);
    linear(`${name}.mlp.down_proj`, INTERMEDIATE, D, false);
    addAttention(linear, `${name}.self_attn`, config, layer, options);
  }
  return weights;
}

function addAttention(
  linear: (name: string, inFeatures: number, outFeatures: number, hasBias?: boolean) => void,
  name: string,
  { numKeyValueHeads: K, mla }: DecoderConfig,
  layer: number,
  { form = 'joint', decoupled = false, groups = 1, latent = 12 }: RandomDecoderOptions,
): void {
  linear(`${name}.q_proj`, D, N * H);
  linear(`${name}.o_proj`, N * H, D, false);
  if (!mla) {
    linear(`${name}.k_proj`, D, K * H);
    linear(`${name}.v_proj`, D, K * H);
    return;
  }
  const rope = 2 * mla.ropePairs[layer]![0]!.length;
  linear(`${name}.k_r_proj`, D, K * rope);
  for (const folder of decoupled ? ['kv_proj_img', 'kv_proj_text'] : ['kv_proj']) {
    const up = (side: 'k' | 'v', inFeatures: number) =>
      linear(`${name}.${folder}.up_${side}`, inFeatures, side === 'k' ? K * (H - rope) : K * H);
    if (form === 'joint') {
      linear(`${name}.${folder}.down_kv`, D, latent);
      if (rope < H) up('k', latent / groups);
      up('v', latent / groups);
      continue;
    }
    const compressed = { none: '', split: 'kv', key: 'k', value: 'v', original: '' }[form];
    for (const side of ['k', 'v'] as const) {
      const own = compressed.includes(side);
      if (own) linear(`${name}.${folder}.down_${side}`, D, latent);
      if (side === 'v' || rope < H) up(side, own ? latent : D);
    }
  }
}

/** Weights in memory, with a checkpoint's checks. */
export function readerOf(weights: RandomWeights): WeightReader {
  return {
    shape: (name) => weights.get(name)?.shape,
    async read(name, expected) {
      const weight = weights.get(name);
      if (!weight) throw new Error(`read: ${name} is missing.`);
      if (weight.shape.join() !== expected.join()) {
        throw new Error(`read: ${name} must be [${expected}], got [${weight.shape}].`);
      }
      return weight.values;
    },
  };
}
