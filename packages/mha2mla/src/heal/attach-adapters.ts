/** Adapters on chosen linear maps of a decoder's layers, and what is trained beside them. */
import type { Decoder, DecoderLayer, Projection } from '@mha2mla/mla-runtime';
import {
  assertTrainable,
  type LoraProjection,
  lora,
  selectModules,
  type TrainableParameter,
  type TrainableProjection,
  trainableProjection,
} from '@mha2mla/peft';
import * as tf from '@tensorflow/tfjs-core';
import { type LinearPlace, linearPlaces } from '../adapter/linear-modules';
import { policyOf } from './policies';

export const ADAPTERS = ['lora', 'rslora', 'dora', 'none'] as const;

export interface AdapterOptions {
  /** What learns: an adapter, or with `none` the maps themselves. Default `lora`. */
  adapter?: (typeof ADAPTERS)[number];
  /** Width of the adapters. */
  r: number;
  /** Numerator of their scale, loraAlpha / r, or loraAlpha / sqrt(r) of `rslora`. */
  loraAlpha: number;
  /**
   * Which maps, by PEFT's rule: a string matches whole names, a list equal names or ends after a
   * dot. Or `v2` to `v6` of the reference (`policies.ts`), some of which train norms too.
   */
  targetModules: string | readonly string[];
  /** Train the biases of these maps as well. Default false. */
  biases?: boolean;
  /** Of the first map's A; each further map takes the next. */
  seed: number;
}

export interface AttachedAdapters {
  /** Named after their modules, such as `layers.0.self_attn.q_proj.lora_A.weight`. */
  readonly parameters: readonly TrainableParameter[];
  /** Modules that were chosen, by the decoder's names. */
  readonly modules: ReadonlyMap<string, LoraProjection | TrainableProjection>;
  /**
   * What the decoder's weights are by now, of those that may have changed, laid out as on disk, such
   * as `layers.0.self_attn.q_proj.weight` [out, in]; the caller disposes them.
   */
  readonly changed: ReadonlyMap<string, () => tf.Tensor>;
  /** Numbers that the model did not have before. */
  readonly added: number;
  /** Put back what was frozen, and free what was trained. */
  detach(): void;
}

/**
 * Wrap the chosen maps of every layer. A map that is narrower than r gets an adapter of its full
 * rank, and of the same scale.
 * @throws RangeError when nothing matches.
 */
export function attachAdapters(decoder: Decoder, options: AdapterOptions): AttachedAdapters {
  return attachToLayers(new Map(decoder.layers.entries()), options, decoder);
}

/**
 * The same for some of a decoder's layers, by their places in it.
 * @param owner of the last norm, where it is trained with the others.
 */
export function attachToLayers(
  layers: ReadonlyMap<number, DecoderLayer>,
  options: AdapterOptions,
  owner?: Decoder,
): AttachedAdapters {
  const { targetModules, norms } = policyOf(options.targetModules);
  const bases = linearPlaces(layers);
  const chosen = selectModules([...bases.keys()], targetModules);
  const modules = new Map<string, LoraProjection | TrainableProjection>();
  const own: TrainableProjection[] = [];
  const changed = new Map<string, () => tf.Tensor>();
  for (const [i, module] of chosen.entries()) {
    const { projection: base, replace } = bases.get(module)!;
    const { adapted, inner } = adapt(base, module, { ...options, seed: options.seed + i });
    if (inner) own.push(inner);
    modules.set(module, adapted);
    changed.set(`${module}.weight`, () => tf.tidy(() => tf.transpose(adapted.weight())));
    if (trainsBias(base, options)) changed.set(`${module}.bias`, () => tf.clone(adapted.bias!));
    replace(adapted);
  }
  const trainedNorms = norms ? attachNorms(layers, owner) : [];
  for (const { name, variable } of trainedNorms) changed.set(name, () => tf.clone(variable));
  const parts = [...new Set([...own, ...modules.values()])];
  const parameters = [...parts.flatMap((part) => part.parameters), ...trainedNorms];
  const names = parameters.map(({ name }) => name);
  assertTrainable([...expectedNames(bases, chosen, options), ...trainedNorms.map(nameOf)], names);
  return {
    parameters,
    modules,
    changed,
    added: parameters
      .filter(({ name }) => name.includes('.lora_'))
      .reduce((sum, { variable }) => sum + variable.size, 0),
    detach() {
      for (const module of modules.keys()) {
        const { projection, replace } = bases.get(module)!;
        replace(projection);
      }
      for (const part of parts) part.dispose();
      for (const { restore } of trainedNorms) restore();
    },
  };
}

const nameOf = ({ name }: TrainableParameter) => name;

function trainsBias(base: Projection, { biases = false }: AdapterOptions): boolean {
  return biases && base.bias !== undefined;
}

/** What stands in a map's place, and within an adapter the map whose bias is trained. */
function adapt(base: Projection, name: string, options: AdapterOptions) {
  const { adapter = 'lora', r, loraAlpha, seed } = options;
  const bias = trainsBias(base, options);
  if (adapter === 'none') return { adapted: trainableProjection(base, { bias, name }) };
  const inner = bias ? trainableProjection(base, { weight: false, name }) : undefined;
  const rank = Math.min(r, base.inFeatures, base.outFeatures);
  const [useRslora, useDora] = [adapter === 'rslora', adapter === 'dora'];
  const share = useRslora ? Math.sqrt(rank / r) : rank / r;
  const scaled = { r: rank, loraAlpha: loraAlpha * share, useRslora, useDora };
  return { adapted: lora(inner ?? base, { ...scaled, name, seed }), inner };
}

function expectedNames(
  bases: ReadonlyMap<string, LinearPlace>,
  chosen: readonly string[],
  options: AdapterOptions,
): string[] {
  const { adapter = 'lora' } = options;
  const lora = ['lora_A.weight', 'lora_B.weight'];
  const own = { none: ['weight'], lora, rslora: lora, dora: [...lora, 'lora_magnitude_vector'] };
  return chosen.flatMap((module) => {
    const bias = trainsBias(bases.get(module)!.projection, options) ? ['bias'] : [];
    return [...own[adapter], ...bias].map((part) => `${module}.${part}`);
  });
}

/** Train the norms of the layers, and the last one of their owner. */
function attachNorms(
  layers: ReadonlyMap<number, DecoderLayer>,
  owner: Decoder | undefined,
): (TrainableParameter & { restore(): void })[] {
  const attach = (name: string, frozen: tf.Tensor1D, set: (weight: tf.Tensor1D) => void) => {
    const variable = tf.tidy(() => tf.variable(frozen));
    set(variable);
    const restore = () => {
      set(frozen);
      variable.dispose();
    };
    return { name, variable, restore };
  };
  const ofLayers = [...layers].flatMap(([index, layer]) =>
    (['input_layernorm', 'post_attention_layernorm'] as const).map((norm) =>
      attach(`layers.${index}.${norm}.weight`, layer.norms[norm], (weight) =>
        layer.setNorm(norm, weight),
      ),
    ),
  );
  if (!owner) return ofLayers;
  return [...ofLayers, attach('norm.weight', owner.norm, (weight) => owner.setNorm(weight))];
}
