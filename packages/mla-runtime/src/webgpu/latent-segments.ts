/** Which segments the latents of a decoder's layers are kept in. */
import type { Segment } from '../attention/attention';
import { LATENT_FOLDERS } from '../attention/latent-folders';
import type { DecoderLayer } from '../decoder-layer';

/**
 * On-disk folders of a latent attention's segments, new tokens' last.
 * @throws TypeError where the layer caches no latents.
 */
export function latentFolders(layer: DecoderLayer): string[] {
  const { projections } = layer.attention;
  for (const segments of [['vision', 'text'], ['all']] as const) {
    const folders = segments.map((segment) => LATENT_FOLDERS[segment]);
    if (projections.has(`${folders[0]}.down_kv`)) return folders;
  }
  throw new TypeError(
    `RecordedDecode: attention must cache latents, got projections ${[...projections.keys()].join(', ')}. Decode other forms with Decoder.decode.`,
  );
}

/** @throws TypeError when layers keep their tokens in different segments. */
export function latentSegments(layers: readonly DecoderLayer[]): readonly Segment[] {
  const all = layers.map((layer) => latentFolders(layer).join());
  const other = all.findIndex((folders) => folders !== all[0]);
  if (other >= 0) {
    throw new TypeError(
      `RecordedDecode: all layers must have latents of the same segments, got ${all[0]} in layer 0 and ${all[other]} in layer ${other}. Decode with Decoder.decode.`,
    );
  }
  return layers[0]!.attention.segments;
}
