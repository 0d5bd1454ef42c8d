/**
 * Split a layer's attention by rotation (partial RoPE, FORMULAS F4): the query's rows are put in
 * the order [turned dims of all heads | the rest of all heads], the key's turned rows become
 * `k_r_proj`, its other rows and the values are what low rank then factors.
 */
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import { applyUnrotation, type RopePairs, splitRows, type Unrotation } from '@mha2mla/partial-rope';
import type { LayerTensor, LayerWeights } from './layer-weights';

export interface SplitAttention {
  /** `self_attn.q_proj` and `self_attn.k_r_proj`, with biases where the model has them. */
  rotary: Map<string, LayerTensor>;
  /** Weight [K * P, D] and bias [K * P] of the keys that are no longer turned. */
  key: Projected;
  /** Weight [K * V, D] and bias [K * V] of the values. */
  value: Projected;
}

export interface Projected {
  weight: LayerTensor;
  bias?: LayerTensor;
}

/**
 * @param weights an original layer's.
 * @param unrotation what the query's un-rotated pairs are multiplied by; absent: nothing.
 */
export function splitAttention(
  config: DecoderConfig,
  weights: LayerWeights,
  pairs: RopePairs,
  unrotation?: Unrotation,
): SplitAttention {
  const { numAttentionHeads, numKeyValueHeads, headDim } = config;
  const queryRows = splitRows(pairs, { numHeads: numAttentionHeads, numKeyValueHeads, headDim });
  const keyRows = splitRows(pairs, { numHeads: numKeyValueHeads, numKeyValueHeads, headDim });
  const rotary = new Map<string, LayerTensor>();
  const take = (
    name: string,
    rows: Int32Array,
    prepare = (tensor: LayerTensor) => tensor,
  ): Projected => ({
    weight: takeRows(prepare(weights.get(`self_attn.${name}.weight`)!), rows),
    bias: mapDefined(weights.get(`self_attn.${name}.bias`), (bias) =>
      takeRows(prepare(bias), rows),
    ),
  });
  const turn = (tensor: LayerTensor): LayerTensor => {
    if (!unrotation) return tensor;
    const width = tensor.shape[1] ?? 1;
    return { ...tensor, values: applyUnrotation(tensor.values, unrotation, { headDim, width }) };
  };
  const add = (name: string, { weight, bias }: Projected) => {
    rotary.set(`self_attn.${name}.weight`, weight);
    if (bias) rotary.set(`self_attn.${name}.bias`, bias);
  };
  add('q_proj', take('q_proj', Int32Array.of(...queryRows.ropeRows, ...queryRows.nopeRows), turn));
  add('k_r_proj', take('k_proj', keyRows.ropeRows));
  return {
    rotary,
    key: take('k_proj', keyRows.nopeRows),
    value: {
      weight: weights.get('self_attn.v_proj.weight')!,
      bias: weights.get('self_attn.v_proj.bias'),
    },
  };
}

function takeRows({ shape, values }: LayerTensor, rows: Int32Array): LayerTensor {
  const width = shape[1] ?? 1;
  const taken = new Float32Array(rows.length * width);
  for (const [target, row] of rows.entries()) {
    taken.set(values.subarray(row * width, (row + 1) * width), target * width);
  }
  return { shape: [rows.length, ...shape.slice(1)], values: taken };
}

function mapDefined<T, U>(value: T | undefined, map: (value: T) => U): U | undefined {
  return value === undefined ? undefined : map(value);
}
