import type { ClipConfig } from './clip-config';

/** Weights of a CLIP tower by our names; maps and norms have a bias each, the patches none. */
export function clipTensors({ numHiddenLayers }: ClipConfig, prefix: string): string[] {
  const names = [
    'embeddings.class_embedding',
    'embeddings.patch_embedding.weight',
    'embeddings.position_embedding.weight',
    'pre_layrnorm.weight',
    'pre_layrnorm.bias',
  ];
  for (let i = 0; i < numHiddenLayers; i++) {
    const parts = [
      'layer_norm1',
      'layer_norm2',
      'mlp.fc1',
      'mlp.fc2',
      ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].map((part) => `self_attn.${part}`),
    ];
    for (const part of parts) {
      names.push(`encoder.layers.${i}.${part}.weight`, `encoder.layers.${i}.${part}.bias`);
    }
  }
  return names.map((name) => `${prefix}.${name}`);
}
