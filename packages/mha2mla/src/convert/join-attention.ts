/**
 * Put the attention of a partial-RoPE layer together in the order of an original's rows, so that
 * `splitAttention` by the same pairs gives it back: FORMULAS F4 the other way.
 */
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import { type RopePairs, splitRows } from '@mha2mla/partial-rope';
import type { LayerTensor, LayerWeights } from './layer-weights';

/**
 * @param weights `q_proj`, `k_r_proj`, `kv_proj.up_k`, `kv_proj.up_v` and `o_proj` of the layer; keys
 *   of no rows may be absent.
 * @param pairs of the layer.
 * @returns `q_proj`, `k_proj`, `v_proj` and `o_proj`, with biases where it has them.
 */
export function joinAttention(
  config: Pick<DecoderConfig, 'numAttentionHeads' | 'numKeyValueHeads' | 'headDim'>,
  weights: LayerWeights,
  pairs: RopePairs,
): LayerWeights {
  const { numAttentionHeads, numKeyValueHeads, headDim } = config;
  const query = splitRows(pairs, { numHeads: numAttentionHeads, numKeyValueHeads, headDim });
  const key = splitRows(pairs, { numHeads: numKeyValueHeads, numKeyValueHeads, headDim });
  const joined = new Map<string, LayerTensor>();
  for (const part of ['weight', 'bias']) {
    const get = (name: string) => weights.get(`self_attn.${name}.${part}`);
    const joint: Record<string, LayerTensor | undefined> = {
      q_proj: putRows([[get('q_proj'), Int32Array.of(...query.ropeRows, ...query.nopeRows)]]),
      k_proj: putRows([
        [get('k_r_proj'), key.ropeRows],
        [get('kv_proj.up_k'), key.nopeRows],
      ]),
      v_proj: get('kv_proj.up_v'),
      o_proj: get('o_proj'),
    };
    for (const [name, tensor] of Object.entries(joint)) {
      if (tensor) joined.set(`self_attn.${name}.${part}`, tensor);
    }
  }
  return joined;
}

/** Put the rows of tensors where each belongs; zeros for a bias that only other rows have. */
function putRows(
  parts: readonly (readonly [LayerTensor | undefined, Int32Array])[],
): LayerTensor | undefined {
  const first = parts.find(([tensor]) => tensor)?.[0];
  if (!first) return undefined;
  const width = first.shape[1] ?? 1;
  const count = parts.reduce((sum, [, rows]) => sum + rows.length, 0);
  const values = new Float32Array(count * width);
  for (const [tensor, rows] of parts) {
    if (!tensor) continue;
    for (const [i, row] of rows.entries()) {
      values.set(tensor.values.subarray(i * width, (i + 1) * width), row * width);
    }
  }
  return { shape: [count, ...first.shape.slice(1)], values };
}
