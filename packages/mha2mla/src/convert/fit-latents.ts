/**
 * Fit how a converted layer's latents are cached: scales of each channel, and widths by what an error
 * in it does to keys and values. Latents carry no position, so what calibration shows of a channel
 * holds for all tokens.
 */
import { fitStatic, type StaticSpec } from '@mha2mla/kv-quant';
import {
  type CacheOptions,
  type DecoderLayer,
  fittedBits,
  LATENT_FOLDERS,
  type PrefillStep,
  type Segment,
} from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { spaced } from '../data/spaced';
import type { LayerWeights } from './layer-weights';
import { modalityMask } from './modality-mask';

/** Tokens that a fit looks at: a clipped range then lies within a few percent of its best. */
const MOST_TOKENS = 2048;

/** Rows of latents by segment, [tokens][C]. */
export type LatentRows = Map<Segment, Float32Array[]>;

/**
 * Run a converted layer, and keep latents that it would cache.
 * @param rows of the layer's segments; evenly spaced tokens are added.
 * @param batches of the samples, so many of which share what a fit looks at.
 * @returns the layer's output, the caller's.
 */
export async function prefillKeepingLatents(
  layer: DecoderLayer,
  states: tf.Tensor3D,
  step: PrefillStep,
  { rows, batches }: { rows: LatentRows; batches: number },
): Promise<tf.Tensor3D> {
  const latents = new Map<Segment, tf.Tensor>();
  const output = layer.prefill(states, step, {
    observe: ({ input }) => {
      for (const segment of layer.attention.segments) {
        const down = layer.projections.get(`self_attn.${LATENT_FOLDERS[segment]}.down_kv`)!;
        latents.set(segment, tf.keep(down.apply(input)));
      }
    },
  });
  for (const [segment, latent] of latents) {
    const values = (await latent.data()) as Float32Array;
    latent.dispose();
    const width = latent.shape.at(-1)!;
    const own = spaced(tokensOf(segment, step), Math.ceil(MOST_TOKENS / batches));
    const found = own.map((t) => values.slice(t * width, (t + 1) * width));
    rows.set(segment, [...(rows.get(segment) ?? []), ...found]);
  }
  return output;
}

/**
 * @param weights of the layer, as written.
 * @returns specs by segment; none of a segment whose bits are 16.
 * @throws RangeError for a segment without tokens.
 */
export function fitLatents(
  rows: LatentRows,
  weights: LayerWeights,
  { layer, groups, cache }: { layer: number; groups: number; cache: CacheOptions },
): Partial<Record<Segment, StaticSpec>> {
  const specs: Partial<Record<Segment, StaticSpec>> = {};
  for (const [segment, own] of rows) {
    const bits = fittedBits(layer, segment, cache);
    if (bits === undefined) continue;
    if (own.length === 0) {
      throw new RangeError(
        `fitLatents: calibration samples must have ${segment} tokens for kvMethod=${cache.kvMethod}, got none.`,
      );
    }
    const width = own[0]!.length;
    const samples = new Float32Array(own.length * width);
    for (const [i, row] of own.entries()) samples.set(row, i * width);
    specs[segment] = fitStatic(samples, width / groups, {
      ...{ bits, bands: cache.kvMethod === 'bands', heads: groups },
      costs: upNorms(weights, `self_attn.${LATENT_FOLDERS[segment]}`, width, groups),
    });
  }
  return specs;
}

/** Squared norm of what the up-projections make of each channel, [C]. */
function upNorms(
  weights: LayerWeights,
  folder: string,
  width: number,
  groups: number,
): Float64Array {
  const norms = new Float64Array(width);
  for (const part of ['up_k', 'up_v']) {
    const { shape, values } = weights.get(`${folder}.${part}.weight`)!;
    const [outputs, inputs] = shape as [number, number]; // [O, C / groups], group after group
    for (let i = 0; i < values.length; i++) {
      const group = Math.floor((Math.floor(i / inputs) * groups) / outputs);
      norms[group * inputs + (i % inputs)]! += values[i]! ** 2;
    }
  }
  return norms;
}

function tokensOf(segment: Segment, { layout }: PrefillStep): number[] {
  const modalities = segment === 'all' ? (['vision', 'text'] as const) : [segment];
  const masks = modalities.map((modality) => modalityMask(layout, modality));
  return [...masks[0]!.keys()].filter((t) => masks.some((mask) => mask[t]));
}
