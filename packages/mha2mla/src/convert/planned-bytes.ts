/** What a planned conversion will write, from headers alone. */
import { dtypeBits, type TensorInfo } from '@mha2mla/checkpoint';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { tensorBytes, tensorElements } from '../output/tensor-sizes';
import type { ConversionPlan } from './convert-options';
import { keptEntries } from './kept-tensors';
import { isReplaced, storedLayer } from './layer-source';
import { plannedShapes } from './planned-shapes';
import { layerDtype } from './write-layer';

export interface PlannedBytes {
  /** Of each layer's shard. */
  layers: number[];
  /** Of all that surrounds the layers. */
  rest: number;
}

/** Tensors only: headers, tokenizer and the like are thousandths of a model. */
export function plannedBytes(source: VlmSource, plan: ConversionPlan): PlannedBytes {
  const config = source.config.decoder;
  const entriesOf = (tensor: TensorInfo) => keptEntries(source.checkpoint, tensor, plan);
  const inLayers = new Set<string>();
  const layers = Array.from({ length: config.numHiddenLayers }, (_, index) => {
    const stored = storedLayer(source, index);
    for (const { name } of stored.tensors) inLayers.add(name);
    const kept = stored.tensors.filter((tensor) => !isReplaced(stored, tensor));
    const biased = ['k_proj', 'kv_proj.up_v'].some(
      (name) => source.weights.shape(`layers.${index}.self_attn.${name}.bias`) !== undefined,
    );
    const fresh =
      (freshElements(config, plan, index, biased) * dtypeBits(plan.dtype ?? layerDtype(stored))) /
      8;
    return fresh + tensorBytes(kept.flatMap(entriesOf));
  });
  const rest = [...source.checkpoint.tensors.values()].filter(({ name }) => !inLayers.has(name));
  return { layers, rest: tensorBytes(rest.flatMap(entriesOf)) };
}

/** Values of what takes the place of a layer's q, k and v. */
function freshElements(
  config: DecoderConfig,
  plan: ConversionPlan,
  index: number,
  biased: boolean,
): number {
  const { hiddenSize, headDim, numAttentionHeads, numKeyValueHeads } = config;
  const { ropeDim, factor, decouple, latentRanks, center } = plan;
  const rotary = numAttentionHeads * headDim + numKeyValueHeads * ropeDim;
  const [keys, values] = [numKeyValueHeads * (headDim - ropeDim), numKeyValueHeads * headDim];
  // Centering gives a bias to what has a latent, where there is none.
  const hasBias = (side: 'key' | 'value') =>
    biased || (center && factor !== 'none' && factor !== (side === 'key' ? 'value' : 'key'));
  const bias = (hasBias('key') ? keys : 0) + (hasBias('value') ? values : 0);
  const folder = (rank: number): number =>
    bias +
    tensorElements(Object.values(plannedShapes(config, plan, rank)).map((shape) => ({ shape })));
  const { vision, text } = latentRanks;
  const folders =
    decouple && factor !== 'none' ? [vision[index]!, text[index]!] : [text[index] ?? 0];
  const query = rotary * (hiddenSize + (biased ? 1 : 0));
  return folders.reduce((sum, rank) => sum + folder(rank), query);
}
