/** Cut the factorisation of a layer's keys and values into jobs, and put their results together. */
import { errorOf, type FactorError, type Outputs, type OutputWeights } from '@mha2mla/lowrank';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { AttentionWeights } from './attention-weights';
import type { ConversionPlan } from './convert-options';
import type { LayerTensor } from './layer-weights';
import type { FactorJob, FactorResult } from './run-factor-job';
import { type Spectrum, spectrumOf } from './spectrum';
import type { Projected, SplitAttention } from './split-attention';

export interface FactorJobOptions {
  name: string;
  rank: number;
  moment?: Float64Array;
  mean?: Float64Array;
  outputWeights?: AttentionWeights;
}

/**
 * The jobs of one kind of input: one a group of KV heads with `joint`, keys and values apart with
 * `split`, else the side that has a latent.
 * @param name what failures name.
 * @param rank latent dims a KV head.
 * @param moment of the inputs, [dIn, dIn]; absent: factors of the weights alone.
 * @param mean of the inputs, [dIn], where the moment is of what is left without it.
 * @param outputWeights what errors cost, a block a KV head; absent: the same everywhere.
 */
export function factorJobs(
  { hiddenSize, numKeyValueHeads }: DecoderConfig,
  { factor, groups, route }: ConversionPlan,
  { key, value }: Pick<SplitAttention, 'key' | 'value'>,
  { name, rank, moment, mean, outputWeights }: FactorJobOptions,
): FactorJob[] {
  const heads = numKeyValueHeads / groups;
  const job = (part: string, sides: Pick<FactorJob, 'key' | 'value'>): FactorJob => ({
    ...{ name: name + part, route, dIn: hiddenSize, moment, mean, heads, rank: rank * heads },
    ...sides,
  });
  if (factor === 'joint') {
    return Array.from({ length: groups }, (_, group) =>
      job(groups > 1 ? `, group ${group + 1} of ${groups}` : '', {
        key: rowsOf(key, group, groups, outputWeights?.key),
        value: rowsOf(value, group, groups, outputWeights?.value),
      }),
    );
  }
  const keys = () => job(', keys', { key: rowsOf(key, 0, 1, outputWeights?.key) });
  const values = () => job(', values', { value: rowsOf(value, 0, 1, outputWeights?.value) });
  if (factor === 'split') return [keys(), values()];
  return [factor === 'key' ? keys() : values()];
}

export interface JoinedFactors extends FactorError {
  spectrum: Spectrum;
  /** By name below the folder, such as `down_kv.weight`. */
  tensors: [string, LayerTensor][];
  /** What each rank from 0 to that of the jobs (dims a KV head) would lose; at 0 all energy. */
  errors: number[];
  /** What the mean of the inputs adds to the biases of keys and values; absent: nothing. */
  offsets: { key?: Float32Array; value?: Float32Array };
}

/** Lay the results of {@link factorJobs} out as converted checkpoints do. */
export function joinFactors(
  plan: ConversionPlan,
  { key, value }: Pick<SplitAttention, 'key' | 'value'>,
  jobs: readonly FactorJob[],
  results: readonly FactorResult[],
): JoinedFactors {
  const { dIn, rank, heads } = jobs[0]!;
  const stack = (pick: (result: FactorResult) => Float64Array | undefined, width: number) =>
    stackRows(results.map(pick), width);
  const tensors: [string, LayerTensor][] =
    plan.factor === 'joint'
      ? [
          ['down_kv.weight', stack(({ down }) => down, dIn)],
          ['up_k.weight', stack(({ upK }) => upK, rank)],
          ['up_v.weight', stack(({ upV }) => upV, rank)],
        ]
      : results.flatMap(({ down, upK, upV }) => sideTensors(upK ? 'k' : 'v', down, upK ?? upV!));
  if (plan.factor === 'key') tensors.push(['up_v.weight', value.weight]);
  if (plan.factor === 'value') tensors.push(['up_k.weight', key.weight]);
  const parts = results.map(({ eigenvalues, energy }, i) => {
    const { key: keys, value: values } = jobs[i]!;
    return { eigenvalues, energy, width: Math.min(dIn, (keys?.dOut ?? 0) + (values?.dOut ?? 0)) };
  });
  const errors = errorsByRank(results, rank, heads);
  const offsets = {
    key: results[0]!.offsetK && stack(({ offsetK }) => offsetK, 1).values,
    value: results.at(-1)!.offsetV && stack(({ offsetV }) => offsetV, 1).values,
  };
  const spectrum = spectrumOf(parts, heads);
  return { tensors, errors, offsets, spectrum, ...errorOf(results) };

  function sideTensors(letter: string, down: Float64Array, up: Float64Array) {
    return [
      [`down_${letter}.weight`, stackRows([down], dIn)],
      [`up_${letter}.weight`, stackRows([up], rank)],
    ] as [string, LayerTensor][];
  }
}

/** Errors of latents of 0, `step`, … `width` dims: what `width` loses, and what is cut off below. */
function errorsByRank(results: readonly FactorResult[], width: number, step: number): number[] {
  const errors = [errorOf(results).error];
  for (let end = width; end > 0; end -= step) {
    const cut = results.flatMap(({ eigenvalues }) => [...eigenvalues.subarray(end - step, end)]);
    // Rounding leaves those of a singular moment below 0.
    errors.push(errors.at(-1)! + cut.reduce((sum, value) => sum + Math.max(0, value), 0));
  }
  return errors.reverse();
}

/** The rows of one of `groups` groups of heads, and what their errors cost. */
function rowsOf(
  { weight }: Projected,
  group: number,
  groups: number,
  blocks: OutputWeights | undefined,
): Outputs {
  const [rows, width] = [weight.shape[0]! / groups, weight.shape[1]!];
  const values = weight.values.subarray(group * rows * width, (group + 1) * rows * width);
  const heads = (blocks?.length ?? 0) / groups;
  const outputWeights = blocks?.slice(group * heads, (group + 1) * heads);
  return { weight: values, dOut: rows, outputWeights };
}

/** Matrices of `width` columns one below the other, [rows, width] in f32. */
function stackRows(parts: readonly (Float64Array | undefined)[], width: number): LayerTensor {
  const size = parts.reduce((sum, part) => sum + (part?.length ?? 0), 0);
  const values = new Float32Array(size);
  let offset = 0;
  for (const part of parts) {
    if (!part) continue;
    values.set(part, offset);
    offset += part.length;
  }
  return { shape: [width === 0 ? 0 : size / width, width], values };
}
