/** Which weights a model needs by its config, and how a checkpoint differs from that. */
import { quoteName, type TextConfig } from '@mha2mla/checkpoint';
import type { VlmConfig } from './family';
import type { VlmSource } from './open-vlm';

/** What a checkpoint lacks, and what it has beyond what its family reads. */
export interface TensorDifference {
  /** Published names of weights that the checkpoint does not have. */
  missing: string[];
  /** Stored names that the model makes no use of. */
  unexpected: string[];
}

/**
 * Stored by older or larger classes and not used: positions, unused norms of vision towers. Or of the
 * cache, not of the model: scales of latents.
 */
const IGNORED = /(^|\.)(position_ids|inv_freq|post_layernorm\.(weight|bias)|latent_scales)$/;

/** Compare a checkpoint's headers with what its config asks for. */
export function tensorDifference(source: VlmSource): TensorDifference {
  const { family, weights, checkpoint } = source;
  const known = new Set<string>();
  const missing: string[] = [];
  for (const name of expectedTensors(source)) {
    const stored = weights.storedName(name);
    if (stored === undefined) missing.push(family.storedNames(name)[0]!);
    else known.add(stored);
    // Other maps have a bias where the model was trained with one.
    const bias = weights.storedName(name.replace(/\.weight$/, '.bias'));
    if (bias !== undefined) known.add(bias);
  }
  const unexpected = [...checkpoint.tensors.keys()].filter(
    (name) => !known.has(name) && !IGNORED.test(name),
  );
  return { missing, unexpected };
}

/** Our names of the weights that a model needs; other biases than these are taken where they are. */
export function expectedTensors({ family, config, weights }: VlmSource): string[] {
  return [
    ...decoderTensors(config, (name) => weights.storedName(name) !== undefined),
    ...family.visionTensors(config),
  ];
}

/** Most names of a list in an error: enough to see the pattern. */
const LISTED = 5;

/**
 * Refuse a checkpoint that lacks weights before any is read: the last one could be hours away.
 * @throws RangeError with the family, and five names each of what is missing and of no use.
 */
export function assertComplete(source: VlmSource): void {
  const { missing, unexpected } = tensorDifference(source);
  if (missing.length === 0) return;
  throw new RangeError(
    `assertComplete: the ${source.family.name} family expects all its weights, got a checkpoint without ${listed(missing)}; of no use to it are ${listed(unexpected)}. Do config.json and weights belong together?`,
  );
}

function listed(names: readonly string[]): string {
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : '';
  return (names.slice(0, LISTED).map(quoteName).join(', ') || 'none') + more;
}

/** The decoder's weights by our names, in the form that the checkpoint has. */
function decoderTensors(
  { decoder: config, source }: VlmConfig,
  has: (name: string) => boolean,
): string[] {
  const names = ['embed_tokens.weight', 'norm.weight'];
  if (!config.tieWordEmbeddings) names.push('lm_head.weight');
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const prefix = `layers.${layer}`;
    const parts = [
      'input_layernorm',
      'post_attention_layernorm',
      'mlp.gate_proj',
      'mlp.up_proj',
      'mlp.down_proj',
      'self_attn.q_proj',
      'self_attn.o_proj',
      ...(config.mla ? convertedParts(prefix, has) : ['self_attn.k_proj', 'self_attn.v_proj']),
    ];
    names.push(...parts.map((part) => `${prefix}.${part}.weight`));
    const biased = parts.filter((part) => hasBias(part, source.text));
    names.push(...biased.map((part) => `${prefix}.${part}.bias`));
  }
  return names;
}

/** Maps that `attention_bias` gives a bias: q, k and v in all forms, and in Llama the output. */
function hasBias(part: string, { attentionBias, modelType }: TextConfig): boolean {
  if (!attentionBias) return false;
  if (part === 'self_attn.o_proj') return !modelType.startsWith('qwen2');
  return /(^self_attn\.[qkv]_proj|k_r_proj|up_[kv])$/.test(part);
}

/** Joint latents unless the layer has another form. */
function convertedParts(prefix: string, has: (name: string) => boolean): string[] {
  const hasPart = (part: string) => has(`${prefix}.self_attn.${part}.weight`);
  const decoupled = !hasPart('kv_proj.up_v') && !hasPart('kv_proj.down_kv');
  const folders = decoupled ? ['kv_proj_img', 'kv_proj_text'] : ['kv_proj'];
  const parts = folders.flatMap((folder) => {
    const downs = ['down_k', 'down_v'].filter((down) => hasPart(`${folder}.${down}`));
    const whole = downs.length === 0 && (decoupled || hasPart(`${folder}.down_kv`));
    return [...(whole ? ['down_kv'] : downs), 'up_k', 'up_v'].map((part) => `${folder}.${part}`);
  });
  return ['k_r_proj', ...parts].map((part) => `self_attn.${part}`);
}
