/**
 * One layer of a decoder as eight dispatches a token: norm with the projections of query, key and
 * latent, or values; the query, turned and absorbed; the append; attention by chunks; their merge with
 * the values' projection; the output projection with its residual; norm with the gated MLP; its down
 * projection with its residual. The middle three are bound to a conversation's cache, the others to the model.
 */
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
import type { MatVecShape } from '../kernels/mat-vec';
import { type Projection, projectionOf } from '../projection';
import { attentionForm } from './attention-form';
import type { DeviceBuffers } from './device-buffers';
import { type Dispatch, dispatchOfProgram } from './dispatch';
import { floats } from './floats';
import type { HeadWidths, LatentShape } from './latent-shape';
import { recordGated, recordLinear, type WeightOptions } from './record-linear';
import type { StepBuffers } from './step-buffers';

/** What attention is bound to in one conversation. */
export interface LayerCacheBuffers {
  /** See `latentLayout`. */
  cache: GPUBuffer;
  place: GPUBuffer;
  partials: GPUBuffer;
  /** Of all slots, where keys are stored without their bias. */
  angles?: GPUBuffer;
}

export interface LayerRecording {
  before: readonly Dispatch[];
  /** Append and attention over a cache. */
  attend(shape: LatentShape, buffers: LayerCacheBuffers): Dispatch[];
  after: readonly Dispatch[];
}

/** Widths of a layer's attention. */
export function headWidths(config: DecoderConfig, layer: DecoderLayer, index: number): HeadWidths {
  const shape = headShape(config, index);
  const { caches, folders } = attentionForm(layer);
  const widthOf = (folder: string) =>
    projectionOf(layer.attention.projections, `${folder}.up_v`).inFeatures;
  return {
    caches,
    heads: shape.numAttentionHeads,
    keyHeads: shape.numKeyValueHeads,
    groups: caches === 'latents' ? config.mla!.groups : shape.numKeyValueHeads,
    ropeDim: shape.qkRopeHeadDim,
    nopeDim: shape.qkNopeHeadDim,
    valueDim: shape.headDim,
    widths: caches === 'latents' ? folders.map(widthOf) : [shape.headDim],
  };
}

/** Upload a layer's weights to `buffers` and bind them. */
export async function recordLayer(
  config: DecoderConfig,
  layer: DecoderLayer,
  index: number,
  step: StepBuffers,
  buffers: DeviceBuffers,
  options: WeightOptions,
): Promise<LayerRecording> {
  const { hiddenSize: D, rmsNormEps: normEps } = config;
  const { projections } = layer.attention;
  const linear = (
    from: Projection | readonly Projection[],
    part: Partial<MatVecShape>,
    y: GPUBuffer,
    x: GPUBuffer,
    rest: readonly GPUBuffer[],
  ) => recordLinear(buffers, from, options, part, y, x, rest);

  const inputNorm = buffers.upload(await floats(layer.norms.input_layernorm));
  const joined = attentionForm(layer).inputs.map((name) => projectionOf(projections, name));
  const before = await linear(joined, { normEps }, step.projected, step.hidden, [inputNorm]);
  const attention = await recordAttention(config, layer, index, step, buffers);
  before.push(attention.query);

  const output = projectionOf(projections, 'o_proj');
  const mlp = (name: string) => projectionOf(layer.projections, `mlp.${name}`);
  const gain = buffers.upload(await floats(layer.norms.post_attention_layernorm));
  const after = [
    ...(await linear(output, { residual: true }, step.attended, step.values, [step.hidden])),
    ...(await recordGated(buffers, [mlp('gate_proj'), mlp('up_proj')], options, D, normEps, [
      step.gated,
      step.attended,
      gain,
    ])),
    ...(await linear(mlp('down_proj'), { residual: true }, step.hidden, step.gated, [
      step.attended,
    ])),
  ];
  return { before, attend: attention.attend, after };
}

/** The query, turned and absorbed, and what follows over a cache. */
async function recordAttention(
  config: DecoderConfig,
  layer: DecoderLayer,
  index: number,
  step: StepBuffers,
  buffers: DeviceBuffers,
): Promise<{ query: Dispatch } & Pick<LayerRecording, 'attend'>> {
  const { device } = buffers;
  const heads = headShape(config, index);
  const widths = headWidths(config, layer, index);
  const absorbed = absorbedOf(config, layer, index);
  const weights = await uploadAbsorbed(absorbed, buffers);
  for (const part of absorbed) disposeAbsorbed(part);
  const turned = buffers.upload(Uint32Array.from(turnedPairs(heads)));
  const rotary = widths.ropeDim > 0 ? [step.angles, turned] : [];
  const ownBias = layer.attention.projections.get('k_r_proj')?.bias;
  const bias = ownBias && [buffers.upload(await floats(ownBias))];
  const has = (list: readonly unknown[]) => list.map((item) => item !== undefined);
  const keyBias = has(weights.keyBias);
  const absorbing = absorbQuery(widths, { scale: 1 / Math.sqrt(heads.headDim), keyBias });
  const keys = [...present(weights.key), ...present(weights.keyBias)];
  const values = [...present(weights.value), ...present(weights.valueBias)];
  const own = [step.query, step.projected, ...keys, ...rotary];
  return {
    query: dispatchOfProgram(device, absorbing, own),
    attend(shape, { cache, place, partials, angles }) {
      const apart = shape.biasApart.at(-1) ? bias! : [];
      const bySlot = shape.biasApart.includes(true) ? [...bias!, turned, angles!] : [];
      const append = [cache, step.projected, ...rotary, ...apart, place, step.step];
      const attend = [partials, step.query, cache, ...bySlot, place, step.step];
      const expand = [step.values, partials, ...values, place, step.step];
      return [
        dispatchOfProgram(device, appendLatent(shape), append),
        dispatchOfProgram(device, attendLatents(shape), attend, true),
        dispatchOfProgram(device, expandValues(shape, has(weights.valueBias)), expand),
      ];
    },
  };
}

function absorbedOf(config: DecoderConfig, layer: DecoderLayer, index: number): AbsorbedWeights[] {
  const { folders } = attentionForm(layer);
  if (folders.length === 0) return [];
  const up = (folder: string, side: 'k' | 'v') =>
    projectionOf(layer.attention.projections, `${folder}.up_${side}`);
  const options = {
    ...headShape(config, index),
    groups: config.mla!.groups,
    commonKeyBias: up(folders.at(-1)!, 'k').bias,
  };
  return folders.map((folder) => absorbWeights(up(folder, 'k'), up(folder, 'v'), options));
}

async function uploadAbsorbed(segments: readonly AbsorbedWeights[], buffers: DeviceBuffers) {
  const all = (part: 'key' | 'value' | 'keyBias' | 'valueBias') =>
    Promise.all(
      segments.map(async ({ [part]: tensor }) => tensor && buffers.upload(await floats(tensor))),
    );
  return {
    key: await all('key'),
    value: await all('value'),
    keyBias: await all('keyBias'),
    valueBias: await all('valueBias'),
  };
}

function present<T>(list: readonly (T | undefined)[]): T[] {
  return list.filter((item) => item !== undefined);
}
