/**
 * Factor a layer's un-rotated keys and its values into latents, one a modality or one for both
 * (modality-decoupled low rank, FORMULAS F5), and lay them out as converted checkpoints do.
 * Biases stay on the up-projections.
 */
import {
  factorize,
  jointFactors,
  type LinearAlgebra,
  splitFactors,
  withFallback,
} from '@mha2mla/lowrank';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { LayerCalibration } from './calibrate-layer';
import type { ConversionPlan } from './convert-options';
import type { LayerTensor } from './layer-weights';
import type { Modality } from './modality-mask';
import type { Projected, SplitAttention } from './split-attention';

export interface FactorReport {
  /** Error of the outputs that were factored, relative to their energy. */
  relativeError: number;
  retainedEnergy: number;
  /** Tokens whose activations were seen; 0 for factors of the weights alone. */
  tokens: number;
  /** Whether a modality with too few tokens leaned on the other. */
  usedFallback: boolean;
}

export interface FactoredAttention {
  /** By name below `layers.N.`. */
  tensors: Map<string, LayerTensor>;
  reports: Partial<Record<Modality, FactorReport>>;
}

export function factorAttention(
  la: LinearAlgebra,
  config: DecoderConfig,
  plan: ConversionPlan,
  { key, value }: SplitAttention,
  calibration: LayerCalibration | undefined,
): FactoredAttention {
  const tensors = new Map<string, LayerTensor>();
  const reports: FactoredAttention['reports'] = {};
  if (plan.factor === 'none') {
    addProjected(tensors, 'kv_proj.up_k', key);
    addProjected(tensors, 'kv_proj.up_v', value);
    return { tensors, reports };
  }
  for (const [folder, modalities] of foldersOf(plan)) {
    const input = momentOf(config, plan, calibration, modalities);
    const found = factorOne(la, config, plan, { key, value }, input?.moment);
    for (const [name, tensor] of found.tensors) tensors.set(`self_attn.${folder}.${name}`, tensor);
    addBias(tensors, `${folder}.up_k`, key);
    addBias(tensors, `${folder}.up_v`, value);
    const report = {
      relativeError: found.relativeError,
      retainedEnergy: found.retainedEnergy,
      tokens: input?.tokens ?? 0,
      usedFallback: input?.usedFallback ?? false,
    };
    for (const modality of modalities) reports[modality] = report;
  }
  return { tensors, reports };
}

function foldersOf({ decouple }: ConversionPlan): [string, Modality[]][] {
  return decouple
    ? [
        ['kv_proj_img', ['vision']],
        ['kv_proj_text', ['text']],
      ]
    : [['kv_proj', ['vision', 'text']]];
}

/** Second moment of what a folder's tokens feed into K and V; absent for weight-only factors. */
function momentOf(
  { numKeyValueHeads }: DecoderConfig,
  plan: ConversionPlan,
  calibration: LayerCalibration | undefined,
  modalities: readonly Modality[],
) {
  if (plan.init === 'weights') return undefined;
  if (!calibration) throw new Error('factorAttention: expected calibration, got none.');
  const { vision, text } = calibration.moments;
  const joint = vision.clone().merge(text);
  if (modalities.length > 1) {
    return { moment: joint.normalized(), tokens: joint.count, usedFallback: false };
  }
  const own = calibration.moments[modalities[0]!];
  // Each group of heads, and each of K and V where they are apart, is a factorisation of its own.
  const rank = (plan.rank * numKeyValueHeads) / plan.groups;
  return { ...withFallback(own, joint, { rank }), tokens: own.count };
}

interface OneFactor {
  tensors: [string, LayerTensor][];
  relativeError: number;
  retainedEnergy: number;
}

/** Factor K and V for one kind of input, under the names of converted checkpoints. */
function factorOne(
  la: LinearAlgebra,
  config: DecoderConfig,
  plan: ConversionPlan,
  { key, value }: Pick<SplitAttention, 'key' | 'value'>,
  moment: Float64Array | undefined,
): OneFactor {
  const dIn = config.hiddenSize;
  const side = ({ weight }: Projected) => ({ weight: weight.values, dOut: weight.shape[0]! });
  const [k, v] = [side(key), side(value)];
  const rank = plan.rank * config.numKeyValueHeads;
  const down = (values: Float64Array) => matrix(values, [rank, dIn]);
  const up = (values: Float64Array, rows: number) => matrix(values, [rows, rank / plan.groups]);
  if (plan.factor === 'joint') {
    const f = jointFactors(la, { key: k, value: v, dIn, moment, rank, groups: plan.groups });
    return {
      ...f,
      tensors: [
        ['down_kv.weight', down(f.down)],
        ['up_k.weight', up(f.upK, k.dOut)],
        ['up_v.weight', up(f.upV, v.dOut)],
      ],
    };
  }
  if (plan.factor === 'split') {
    const f = splitFactors(la, { key: k, value: v, dIn, moment, rank });
    return {
      ...f,
      tensors: [
        ['down_k.weight', down(f.downK)],
        ['up_k.weight', up(f.upK, k.dOut)],
        ['down_v.weight', down(f.downV)],
        ['up_v.weight', up(f.upV, v.dOut)],
      ],
    };
  }
  const keySide = plan.factor === 'key';
  const [own, other, letter, kept] = keySide
    ? [k, value, 'k', 'up_v.weight']
    : [v, key, 'v', 'up_k.weight'];
  const f = factorize(la, { ...own, dIn, moment, rank });
  return {
    ...f,
    tensors: [
      [`down_${letter}.weight`, down(f.down)],
      [`up_${letter}.weight`, up(f.up, own.dOut)],
      [kept, other.weight],
    ],
  };
}

function matrix(values: Float64Array, shape: readonly number[]): LayerTensor {
  return { shape, values: Float32Array.from(values) };
}

function addProjected(tensors: Map<string, LayerTensor>, name: string, projected: Projected): void {
  tensors.set(`self_attn.${name}.weight`, projected.weight);
  addBias(tensors, name, projected);
}

function addBias(tensors: Map<string, LayerTensor>, name: string, { bias }: Projected): void {
  if (bias) tensors.set(`self_attn.${name}.bias`, bias);
}
