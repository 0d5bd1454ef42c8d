/**
 * One layer of a decoder as eight dispatches a token: norm with the projections of query, rotary key
 * and latent; the absorbed query; the append; attention by chunks; their merge with the values'
 * projection; the output projection with its residual; norm with the gated MLP; its down projection
 * with its residual.
 */
import type * as tf from '@tensorflow/tfjs-core';
import {
  type AbsorbedWeights,
  absorbWeights,
  disposeAbsorbed,
} from '../attention/absorbed-weights';
import { headShape, turnedPairs } from '../attention/head-shape';
import type { DecoderConfig } from '../decoder-config';
import type { DecoderLayer } from '../decoder-layer';
import { absorbQuery } from '../kernels/absorb-query';
import { appendLatent } from '../kernels/append-latent';
import { attendLatents } from '../kernels/attend-latents';
import { expandValues } from '../kernels/expand-values';
import { type MatVecShape, matVec } from '../kernels/mat-vec';
import { type Projection, projectionOf } from '../projection';
import type { DeviceBuffers } from './device-buffers';
import type { LatentShape } from './latent-shape';
import type { WeightFormat } from './weight-format';
import { weightParts } from './weight-parts';
import { bindGroupOf, pipelineOf, type WgslProgram } from './wgsl-program';

export interface Dispatch {
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  /** Workgroups; of attention those of one chunk. */
  groups: number;
  perChunk: boolean;
}

/** Buffers that all layers use in turn. */
export interface StepBuffers {
  /** The layer's input and, in the end, its output, [D]. */
  hidden: GPUBuffer;
  /** Between attention and MLP, [D]. */
  attended: GPUBuffer;
  projected: GPUBuffer;
  query: GPUBuffer;
  partials: GPUBuffer;
  /** Attention's output before its projection, [N * V]. */
  values: GPUBuffer;
  /** [intermediate]. */
  gated: GPUBuffer;
  /** [cos | sin] of all pairs. */
  angles: GPUBuffer;
  step: GPUBuffer;
}

export interface WeightOptions {
  weights: WeightFormat;
  /** Inputs that share a scale, of int8 and int4. */
  groupSize: number;
}

/** On-disk folders of a latent attention's segments, new tokens' last. */
export function latentFolders(layer: DecoderLayer): string[] {
  const { projections } = layer.attention;
  if (projections.has('kv_proj_img.down_kv')) return ['kv_proj_img', 'kv_proj_text'];
  if (projections.has('kv_proj.down_kv')) return ['kv_proj'];
  throw new TypeError(
    `recordLayer: attention must cache latents, got projections ${[...projections.keys()].join(', ')}. Decode other forms with Decoder.decode.`,
  );
}

/** Widths of a layer that has room for `capacities` tokens of each segment. */
export function latentShapeOf(
  config: DecoderConfig,
  layer: DecoderLayer,
  index: number,
  capacities: readonly number[],
): LatentShape {
  const shape = headShape(config, index);
  const widths = latentFolders(layer).map(
    (folder) => projectionOf(layer.attention.projections, `${folder}.up_v`).inFeatures,
  );
  return {
    heads: shape.numAttentionHeads,
    keyHeads: shape.numKeyValueHeads,
    groups: config.mla!.groups,
    ropeDim: shape.qkRopeHeadDim,
    nopeDim: shape.qkNopeHeadDim,
    valueDim: shape.headDim,
    widths,
    capacities,
  };
}

/**
 * @param cache zeros, of the layout's size; filled by the caller.
 * @returns the dispatches of one token, in their order.
 */
export async function recordLayer(
  config: DecoderConfig,
  layer: DecoderLayer,
  index: number,
  shape: LatentShape,
  cache: GPUBuffer,
  step: StepBuffers,
  buffers: DeviceBuffers,
  options: WeightOptions,
): Promise<Dispatch[]> {
  const { hiddenSize: D, rmsNormEps: normEps } = config;
  const { projections } = layer.attention;
  const folders = latentFolders(layer);
  const heads = headShape(config, index);
  const dispatches: Dispatch[] = [];
  const record = (program: WgslProgram, bound: readonly GPUBuffer[], perChunk = false) => {
    dispatches.push(dispatchOfProgram(buffers.device, program, bound, perChunk));
  };
  const linear = async (
    from: Projection | readonly Projection[],
    part: Partial<MatVecShape>,
    y: GPUBuffer,
    x: GPUBuffer,
    rest: readonly GPUBuffer[],
  ) => dispatches.push(...(await recordLinear(buffers, from, options, part, y, x, rest)));

  const inputNorm = buffers.upload(await floats(layer.norms.input_layernorm));
  const own = ['q_proj', 'k_r_proj', `${folders.at(-1)}.down_kv`];
  const joined = own.map((name) => projectionOf(projections, name));
  await linear(joined, { normEps }, step.projected, step.hidden, [inputNorm]);

  const absorbed = folders.map((folder) =>
    absorbWeights(
      projectionOf(projections, `${folder}.up_k`),
      projectionOf(projections, `${folder}.up_v`),
      {
        ...heads,
        groups: shape.groups,
        commonKeyBias: projectionOf(projections, `${folders.at(-1)}.up_k`).bias,
      },
    ),
  );
  const weights = await uploadAbsorbed(absorbed, buffers);
  const turned = buffers.upload(Uint32Array.from(turnedPairs(heads)));
  const rotary = shape.ropeDim > 0 ? [step.angles, turned] : [];
  const scale = 1 / Math.sqrt(heads.headDim);
  record(
    absorbQuery(shape, { scale, keyBias: weights.keyBias.map((bias) => bias !== undefined) }),
    [step.query, step.projected, ...present(weights.key), ...present(weights.keyBias), ...rotary],
  );
  record(appendLatent(shape), [cache, step.projected, ...rotary, step.step]);
  record(attendLatents(shape), [step.partials, step.query, cache, step.step], true);
  record(
    expandValues(
      shape,
      weights.valueBias.map((bias) => bias !== undefined),
    ),
    [
      step.values,
      step.partials,
      ...present(weights.value),
      ...present(weights.valueBias),
      step.step,
    ],
  );
  for (const part of absorbed) disposeAbsorbed(part);

  const output = projectionOf(projections, 'o_proj');
  await linear(output, { residual: true }, step.attended, step.values, [step.hidden]);
  const mlp = (name: string) => projectionOf(layer.projections, `mlp.${name}`);
  const gain = buffers.upload(await floats(layer.norms.post_attention_layernorm));
  dispatches.push(
    ...(await recordGated(buffers, [mlp('gate_proj'), mlp('up_proj')], options, D, normEps, [
      step.gated,
      step.attended,
      gain,
    ])),
  );
  await linear(mlp('down_proj'), { residual: true }, step.hidden, step.gated, [step.attended]);
  return dispatches;
}

/** A linear map, or several of one input side by side, biases included; a dispatch a part of it. */
export async function recordLinear(
  buffers: DeviceBuffers,
  from: Projection | readonly Projection[],
  options: WeightOptions,
  part: Partial<MatVecShape>,
  y: GPUBuffer,
  x: GPUBuffer,
  rest: readonly GPUBuffer[],
): Promise<Dispatch[]> {
  const maps = (Array.isArray(from) ? from : [from]) as readonly Projection[];
  const inputs = maps[0]!.inFeatures;
  const { parts, ...packing } = await weightParts(buffers, maps, options);
  const bias = maps.some((map) => map.bias) ? [buffers.upload(await joinedBias(maps))] : [];
  const shape = { inputs, ...packing, bias: bias.length > 0, ...part };
  return parts.map(({ first, outputs, buffers: weight }) =>
    dispatchOfProgram(
      buffers.device,
      matVec({ ...shape, first, outputs }),
      [y, x, ...weight, ...bias, ...rest],
      false,
    ),
  );
}

async function recordGated(
  buffers: DeviceBuffers,
  [gate, up]: readonly [Projection, Projection],
  options: WeightOptions,
  inputs: number,
  normEps: number,
  [y, x, gain]: readonly [GPUBuffer, GPUBuffer, GPUBuffer],
): Promise<Dispatch[]> {
  if (gate.bias || up.bias) {
    throw new TypeError('recordLayer: gate_proj and up_proj must have no bias, got one.');
  }
  const { parts, ...packing } = await weightParts(buffers, [gate], options);
  const second = await weightParts(buffers, [up], options);
  const alike = second.format === packing.format && second.groupSize === packing.groupSize;
  if (!alike) {
    throw new TypeError(
      `recordLayer: gate_proj and up_proj must be kept alike, got ${packing.format} and ${second.format}.`,
    );
  }
  return parts.map(({ first, outputs, buffers: weight }, i) => {
    const program = matVec({ inputs, first, outputs, ...packing, gated: true, normEps });
    const bound = [y, x, ...weight, ...second.parts[i]!.buffers, gain];
    return dispatchOfProgram(buffers.device, program, bound, false);
  });
}

async function joinedBias(maps: readonly Projection[]): Promise<Float32Array> {
  const parts = await Promise.all(
    maps.map(async ({ bias, outFeatures }) =>
      bias ? floats(bias) : new Float32Array(outFeatures),
    ),
  );
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

async function uploadAbsorbed(segments: readonly AbsorbedWeights[], buffers: DeviceBuffers) {
  const upload = async (tensor: tf.Tensor | undefined) =>
    tensor && buffers.upload(await floats(tensor));
  const all = (part: 'key' | 'value' | 'keyBias' | 'valueBias') =>
    Promise.all(segments.map((segment) => upload(segment[part])));
  return {
    key: await all('key'),
    value: await all('value'),
    keyBias: await all('keyBias'),
    valueBias: await all('valueBias'),
  };
}

export function dispatchOfProgram(
  device: GPUDevice,
  program: WgslProgram,
  bound: readonly GPUBuffer[],
  perChunk: boolean,
): Dispatch {
  const pipeline = pipelineOf(device, program);
  const bindGroup = bindGroupOf(device, pipeline, bound);
  return { pipeline, bindGroup, groups: program.groups, perChunk };
}

export async function floats(tensor: tf.Tensor): Promise<Float32Array> {
  return (await tensor.data()) as Float32Array;
}

function present<T>(list: readonly (T | undefined)[]): T[] {
  return list.filter((item) => item !== undefined);
}
