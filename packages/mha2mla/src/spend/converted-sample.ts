/** A sample of a layer's attention as the converted layer computes it, from what its cache holds. */
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import {
  type AttentionSample,
  type RopePairs,
  splitRows,
  type Unrotation,
} from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';
import { valuesOfHeads } from '../convert/head-effects';
import type { LayerTensor, LayerWeights } from '../convert/layer-weights';
import type { Modality } from '../convert/modality-mask';
import { attentionOf, rotatedHeads } from '../convert/sample-attention';

export interface LayerForm {
  /** The original's. */
  weights: LayerWeights;
  /** The converted layer's, by name below `layers.N.`; latents are joint. */
  tensors: LayerWeights;
  pairs: RopePairs;
  unrotation?: Unrotation;
  groups: number;
  /** Where each modality's projections are. */
  folders: Record<Modality, string>;
}

export interface ConvertedSample {
  sample: AttentionSample;
  /** Queries whose kept pairs are turned, the others multiplied, [N, L, H]. */
  query: tf.Tensor3D;
  /** What the original gives less its bias, [N, L, V]. */
  output: tf.Tensor3D;
  /**
   * Keys [K, T, H] and values [N, T, V] less their bias, as read from latents of `rank` dims a KV
   * head that went through `store` as [groups, T', C / groups]. The caller disposes them.
   */
  read(
    rank: number,
    store: (latents: tf.Tensor3D, modality: Modality) => tf.Tensor3D,
  ): { key: tf.Tensor3D; value: tf.Tensor3D };
  dispose(): void;
}

/** @param input what the sample's keys and values are projected from, [T, D]. */
export function convertedSample(
  config: DecoderConfig,
  sample: AttentionSample,
  input: Float32Array,
  form: LayerForm,
): ConvertedSample {
  const { hiddenSize, numAttentionHeads, numKeyValueHeads } = config;
  const { weights, tensors, pairs, groups, folders } = form;
  const length = input.length / hiddenSize;
  const columns = columnsByModality(sample);
  const held = tf.tidy(() => {
    const inputs = tf.tensor2d(input, [length, hiddenSize]);
    const full = rotatedHeads(config, sample);
    const plain = tf.tensor3d(Float32Array.from(sample.query), full.query.shape);
    const keptQuery = keptDims(config, pairs, numAttentionHeads);
    const keptKey = keptDims(config, pairs, numKeyValueHeads);
    const exact = tf.matMul(inputs, matrix(weights.get('self_attn.v_proj.weight')!), false, true);
    const attention = attentionOf(config, sample, full.query, full.key);
    const latents = modalities.map((modality) => {
      const down = matrix(tensors.get(`${folders[modality]}.down_kv.weight`)!);
      const own = tf.gather(inputs, tf.tensor1d(columns[modality], 'int32'));
      const all = tf.reshape(tf.matMul(own, down, false, true), [own.shape[0]!, groups, -1]);
      return tf.transpose(all, [1, 0, 2]) as tf.Tensor3D; // [groups, T', C / groups]
    });
    return {
      query: blend(full.query, multiplied(plain, form.unrotation), keptQuery),
      output: tf.matMul(attention, valuesOfHeads(config, exact as tf.Tensor2D)) as tf.Tensor3D,
      turned: tf.mul(full.key, keptKey) as tf.Tensor3D,
      latents,
    };
  });
  const order = columnOrder(columns, length);
  const place = placeOfDims(config, pairs);
  return {
    sample,
    query: held.query,
    output: held.output,
    read: (rank, store) =>
      tf.tidy(() => {
        const width = (rank * numKeyValueHeads) / groups;
        const stored = modalities.map((modality, i) => {
          const all = held.latents[i]!;
          const own = tf.slice(all, [0, 0, 0], [groups, all.shape[1], width]);
          return own.size > 0 ? store(own, modality) : own;
        });
        const side = (part: 'k' | 'v') => {
          const parts = modalities.map((modality, i) => {
            const up = `${folders[modality]}.up_${part}`;
            const bias = addedBias(form, up, part);
            return expand(stored[i]!, tensors.get(`${up}.weight`)!, bias);
          });
          return tf.gather(tf.concat(parts, 0), order) as tf.Tensor2D; // [T, K * P]
        };
        const spread = tf.gather(
          tf.pad(side('k'), [
            [0, 0],
            [0, 1],
          ]),
          place,
          1,
        ); // [T, K * H]
        const unturned = tf.transpose(
          tf.reshape(spread, [length, numKeyValueHeads, -1]),
          [1, 0, 2],
        );
        return {
          key: tf.add(held.turned, unturned) as tf.Tensor3D,
          value: valuesOfHeads(config, side('v')),
        };
      }),
    dispose: () => tf.dispose({ ...held }),
  };
}

const modalities = ['vision', 'text'] as const;

/** Columns that are no padding. */
export function columnsByModality({
  keyMask,
  keyIsVision,
}: AttentionSample): Record<Modality, number[]> {
  const real = [...keyMask!.keys()].filter((column) => keyMask![column] !== 0);
  return {
    vision: real.filter((column) => keyIsVision![column] !== 0),
    text: real.filter((column) => keyIsVision![column] === 0),
  };
}

/** Where each column stands once vision and text follow each other; padding anywhere. */
function columnOrder({ vision, text }: Record<Modality, number[]>, length: number): number[] {
  const order = new Array<number>(length).fill(0);
  for (const [at, column] of [...vision, ...text].entries()) order[column] = at;
  return order;
}

/** 1 for the dims of [heads, 1, H] that keep their rotation. */
function keptDims(
  { numKeyValueHeads, headDim }: DecoderConfig,
  pairs: RopePairs,
  numHeads: number,
): tf.Tensor3D {
  const kept = new Float32Array(numHeads * headDim);
  const { ropeRows } = splitRows(pairs, { numHeads, numKeyValueHeads, headDim });
  for (const row of ropeRows) kept[row] = 1;
  return tf.tensor3d(kept, [numHeads, 1, headDim]);
}

/** Of each dim of [K * H] its place among the K * P that are not turned, or one behind them. */
function placeOfDims({ numKeyValueHeads, headDim }: DecoderConfig, pairs: RopePairs): number[] {
  const counts = { numHeads: numKeyValueHeads, numKeyValueHeads, headDim };
  const { nopeRows } = splitRows(pairs, counts);
  const place = new Array<number>(numKeyValueHeads * headDim).fill(nopeRows.length);
  for (const [at, row] of nopeRows.entries()) place[row] = at;
  return place;
}

/** The bias of keys; of values what the factors' adds to the original's. */
function addedBias(
  { weights, tensors }: LayerForm,
  up: string,
  part: 'k' | 'v',
): Float32Array | undefined {
  const bias = tensors.get(`${up}.bias`)?.values;
  if (part === 'k') return bias;
  const own = weights.get('self_attn.v_proj.bias')?.values;
  return bias?.map((value, i) => value - (own?.[i] ?? 0));
}

/** Latents [groups, T, width] times the first columns of [K * P, C / groups]: [T, K * P]. */
function expand(latents: tf.Tensor3D, { shape, values }: LayerTensor, bias?: Float32Array) {
  const [groups, count, width] = latents.shape;
  const rows = shape[0]!;
  const up = tf.tensor3d(values, [groups, rows / groups, shape[1]!]);
  const narrow = tf.slice(up, [0, 0, 0], [groups, rows / groups, width]);
  const found = tf.matMul(latents, narrow, false, true); // [groups, T, K * P / groups]
  const all = tf.reshape(tf.transpose(found, [1, 0, 2]), [count, rows]);
  return bias ? tf.add(all, tf.tensor1d(bias)) : all;
}

function blend(turned: tf.Tensor3D, other: tf.Tensor3D, kept: tf.Tensor3D): tf.Tensor3D {
  return tf.add(tf.mul(turned, kept), tf.mul(other, tf.sub(1, kept)));
}

/** Pairs of [N, L, H] multiplied by complex numbers. */
function multiplied(query: tf.Tensor3D, unrotation: Unrotation | undefined): tf.Tensor3D {
  if (!unrotation) return query;
  const heads = query.shape[0];
  const table = (values: Float64Array) =>
    tf.tensor3d(Float32Array.from(values), [heads, 1, values.length / heads]);
  const [real, imaginary] = [table(unrotation.real), table(unrotation.imaginary)];
  const [first, second] = tf.split(query, 2, 2);
  return tf.concat(
    [
      tf.sub(tf.mul(real, first!), tf.mul(imaginary, second!)),
      tf.add(tf.mul(real, second!), tf.mul(imaginary, first!)),
    ],
    2,
  ) as tf.Tensor3D;
}

function matrix({ shape, values }: LayerTensor): tf.Tensor2D {
  return tf.tensor2d(values, shape as [number, number]);
}
