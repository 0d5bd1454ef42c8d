/** LoRA adapters on chosen linear maps of a decoder's layers. */
import type { Decoder, Projection } from '@mha2mla/mla-runtime';
import {
  assertTrainable,
  type LoraProjection,
  lora,
  selectModules,
  type TrainableParameter,
} from '@mha2mla/peft';

export interface AdapterOptions {
  /** Width of the adapters. */
  r: number;
  /** Numerator of their scale, loraAlpha / r. */
  loraAlpha: number;
  /** PEFT's rule: a string matches whole names, a list equal names or ends after a dot. */
  targetModules: string | readonly string[];
  /** Of the first map's A; each further map takes the next. */
  seed: number;
}

export interface AttachedAdapters {
  /** Named after their modules, such as `layers.0.self_attn.q_proj.lora_A.weight`. */
  readonly parameters: readonly TrainableParameter[];
  /** Modules with an adapter, by the decoder's names. */
  readonly modules: ReadonlyMap<string, LoraProjection>;
  /** Put the frozen maps back and free the adapters. */
  detach(): void;
}

/**
 * Wrap the chosen maps of every layer. A map that is narrower than r gets an adapter of its full
 * rank, and of the same scale.
 * @throws RangeError when nothing matches.
 */
export function attachAdapters(decoder: Decoder, options: AdapterOptions): AttachedAdapters {
  const { r, loraAlpha, targetModules, seed } = options;
  const bases = mapsOf(decoder);
  const chosen = selectModules([...bases.keys()], targetModules);
  const modules = new Map<string, LoraProjection>();
  for (const [i, module] of chosen.entries()) {
    const { layer, name, base } = bases.get(module)!;
    const rank = Math.min(r, base.inFeatures, base.outFeatures);
    const adapted = lora(base, {
      r: rank,
      loraAlpha: (loraAlpha * rank) / r,
      name: module,
      seed: seed + i,
    });
    modules.set(module, adapted);
    decoder.layers[layer]!.setProjection(name, adapted);
  }
  const parameters = [...modules.values()].flatMap((adapted) => adapted.parameters);
  assertTrainable(
    chosen.flatMap((module) => [`${module}.lora_A.weight`, `${module}.lora_B.weight`]),
    parameters.map(({ name }) => name),
  );
  return {
    parameters,
    modules,
    detach() {
      for (const [module, adapted] of modules) {
        const { layer, name, base } = bases.get(module)!;
        decoder.layers[layer]!.setProjection(name, base);
        adapted.dispose();
      }
    },
  };
}

/** Every linear map with its place, by its module's name. */
function mapsOf({ layers }: Decoder) {
  const maps = new Map<string, { layer: number; name: string; base: Projection }>();
  for (const [layer, { projections }] of layers.entries()) {
    for (const [name, base] of projections) {
      // A latent's map of no width has nothing to learn.
      if (base.inFeatures === 0 || base.outFeatures === 0) continue;
      maps.set(`layers.${layer}.${name}`, { layer, name, base });
    }
  }
  return maps;
}
