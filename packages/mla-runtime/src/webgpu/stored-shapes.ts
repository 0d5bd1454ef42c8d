import type { Segment } from '../attention/attention';
import type { DecoderCache } from '../cache/decoder-cache';
import type { Decoder } from '../decoder';
import { attentionForm } from './attention-form';
import type { LatentShape } from './latent-shape';
import { headWidths } from './record-layer';
import { type VectorForm, vectorForm } from './vector-form';

/**
 * Widths of each layer's attention and how its cache stores.
 * @throws RangeError for a cache that stores as no program reads.
 */
export function storedShapes(
  decoder: Decoder,
  cache: DecoderCache,
  segments: readonly Segment[],
): { shapes: LatentShape[]; residualLength: number } {
  const parts = decoder.layers.map((layer, i) => {
    const { names } = attentionForm(layer);
    return segments.map((segment) => ({
      latents: cache.layers[i]!.part(segment, names.latents),
      keys: cache.layers[i]!.part(segment, names.keys),
    }));
  });
  const all = parts.flat().flatMap(({ latents, keys }) => [latents, keys]);
  const residualLength = Math.max(...all.map((part) => part.residualLength));
  const codes = all.some((part) => !part.exact);
  const tail = !codes ? 'none' : residualLength > 0 ? 'window' : 'kept';
  const shapes = decoder.layers.map((layer, i): LatentShape => {
    const widths = headWidths(decoder.config, layer, i);
    const bias = layer.attention.projections.get('k_r_proj')?.bias;
    const mayLeave = widths.caches === 'latents' && widths.ropeDim > 0 && bias !== undefined;
    const biasApart = parts[i]!.map(({ keys }) => mayLeave && !keys.exact);
    const formsOf = (part: 'latents' | 'keys') =>
      parts[i]!.map(({ [part]: { spec } }) => vectorForm(spec) ?? refuse(spec!.method));
    const forms = { latentForms: formsOf('latents'), keyForms: formsOf('keys') };
    return { ...widths, ...forms, biasApart, tail };
  });
  return { shapes, residualLength };
}

function refuse(method: string): VectorForm {
  throw new RangeError(
    `RecordedDecode: the cache must keep f32, halves or affine codes of a token's channels, got method=${method}. Decode with Decoder.decode.`,
  );
}
