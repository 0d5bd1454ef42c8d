/** Every linear map of a model that an adapter can stand around, language model and vision. */
import type { DecoderLayer, Projection } from '@mha2mla/mla-runtime';
import type { VisionLanguageModel } from '@mha2mla/vlm-adapters';

/** What of a model adapters need. */
export type AdaptableModel = Pick<VisionLanguageModel, 'family' | 'decoder' | 'vision'>;

/** A linear map in its place. */
export interface LinearPlace {
  /** What stands there now. */
  readonly projection: Projection;
  /** Put another map there; nothing is disposed. */
  replace(projection: Projection): void;
}

export interface LinearModule extends LinearPlace {
  /** The module's names on disk, the published one first, then those of newer classes. */
  readonly storedNames: readonly string[];
}

/** The modules by our names, such as `layers.0.self_attn.q_proj`; the head is none of them. */
export function linearModules({
  family,
  decoder,
  vision,
}: AdaptableModel): Map<string, LinearModule> {
  const { projections } = vision;
  const ofVision = [...(projections ?? [])].map(([name, projection]): [string, LinearPlace] => [
    name,
    { projection, replace: (next) => projections!.set(name, next) },
  ]);
  const places = [...linearPlaces(decoder.layers.entries()), ...ofVision];
  return new Map(
    places.map(([name, place]) => {
      const stored = family.storedNames(`${name}.weight`);
      const storedNames = stored.map((weight) => weight.slice(0, -'.weight'.length));
      return [name, { ...place, storedNames }];
    }),
  );
}

/** Those of a decoder's layers, by their places in it. */
export function linearPlaces(
  layers: Iterable<readonly [number, DecoderLayer]>,
): Map<string, LinearPlace> {
  const places = new Map<string, LinearPlace>();
  for (const [index, layer] of layers) {
    for (const [name, projection] of layer.projections) {
      // A latent's map of no width has nothing to adapt.
      if (projection.inFeatures === 0 || projection.outFeatures === 0) continue;
      const replace = (next: Projection) => layer.setProjection(name, next);
      places.set(`layers.${index}.${name}`, { projection, replace });
    }
  }
  return places;
}
