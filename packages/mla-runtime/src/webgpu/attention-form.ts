/** How a layer's attention computes what it caches, and where it keeps that. */
import type { Segment } from '../attention/attention';
import { LATENT_FOLDERS } from '../attention/latent-folders';
import type { DecoderLayer } from '../decoder-layer';

export interface AttentionForm {
  /** `values`: each head's keys and values, of the original form and of partial RoPE alone. */
  caches: 'latents' | 'values';
  /** Projections of the layer's input, in the order of `projectedSize`. */
  inputs: readonly string[];
  /** On-disk folders of the latents' up-projections by segment, new tokens' last; none of values. */
  folders: readonly string[];
  /** Names in the layer's cache. */
  names: Readonly<Record<CachedPart, string>>;
}

/** What is weighted, latents or values, and what the scores come from beside latents. */
export type CachedPart = 'latents' | 'keys';

export function attentionForm({ attention }: DecoderLayer): AttentionForm {
  const { projections, segments } = attention;
  const folders = segments.map((segment) => LATENT_FOLDERS[segment]);
  const down = `${folders.at(-1)}.down_kv`;
  if (projections.has(down)) {
    const names = { latents: 'kvLatent', keys: 'kPe' };
    return { caches: 'latents', inputs: ['q_proj', 'k_r_proj', down], folders, names };
  }
  const all = ['q_proj', 'k_proj', 'k_r_proj', 'kv_proj.up_k', 'v_proj', 'kv_proj.up_v'];
  const inputs = all.filter((name) => projections.has(name));
  return { caches: 'values', inputs, folders: [], names: { latents: 'value', keys: 'key' } };
}

/** @throws TypeError when layers keep their tokens in different segments. */
export function commonSegments(layers: readonly DecoderLayer[]): readonly Segment[] {
  const all = layers.map(({ attention }) => attention.segments.join());
  const other = all.findIndex((segments) => segments !== all[0]);
  if (other >= 0) {
    throw new TypeError(
      `RecordedDecode: all layers must cache in the same segments, got ${all[0]} in layer 0 and ${all[other]} in layer ${other}. Decode with Decoder.decode.`,
    );
  }
  return layers[0]!.attention.segments;
}
