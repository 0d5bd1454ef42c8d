/** Every linear map of a model that an adapter can stand around, language model and vision. */
import type { Projection } from '@mha2mla/mla-runtime';
import type { VisionLanguageModel } from '@mha2mla/vlm-adapters';

/** What of a model adapters need. */
export type AdaptableModel = Pick<VisionLanguageModel, 'family' | 'decoder' | 'vision'>;

export interface LinearModule {
  /** What stands there now. */
  readonly projection: Projection;
  /** Put another map there; nothing is disposed. */
  replace(projection: Projection): void;
  /** The module's names on disk, the published one first, then those of newer classes. */
  readonly storedNames: readonly string[];
}

/** The modules by our names, such as `layers.0.self_attn.q_proj`; the head is none of them. */
export function linearModules({
  family,
  decoder,
  vision,
}: AdaptableModel): Map<string, LinearModule> {
  const modules = new Map<string, LinearModule>();
  const add = (name: string, projection: Projection, replace: LinearModule['replace']) => {
    // A latent's map of no width has nothing to adapt.
    if (projection.inFeatures === 0 || projection.outFeatures === 0) return;
    const stored = family.storedNames(`${name}.weight`);
    const storedNames = stored.map((weight) => weight.slice(0, -'.weight'.length));
    modules.set(name, { projection, replace, storedNames });
  };
  for (const [i, layer] of decoder.layers.entries()) {
    for (const [name, projection] of layer.projections) {
      add(`layers.${i}.${name}`, projection, (next) => layer.setProjection(name, next));
    }
  }
  const { projections } = vision;
  for (const [name, projection] of projections ?? []) {
    add(name, projection, (next) => projections!.set(name, next));
  }
  return modules;
}
