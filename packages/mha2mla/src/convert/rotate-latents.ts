/**
 * Turn a layer's latents by Hadamard matrices, block by block: c' = H c. The down-projections take
 * H in, the up-projections its inverse, so that the model gives what it gave, at no cost when it
 * runs. What is cached then has no channels that stand out from the rest of their block.
 */
import { hadamardBlocks, walshHadamardInPlace } from '@mha2mla/kv-quant';
import type { LayerTensor } from './layer-weights';

const LATENT = /^self_attn\.kv_proj\w*\.(down_kv|up_k|up_v)\.weight$/;

/**
 * @param tensors of a layer, by name below its prefix.
 * @param largest block, a power of two.
 * @param groups of KV heads that have a latent each; no block reaches over two.
 * @returns the tensors, those around latents changed.
 */
export function rotateLatents(
  tensors: ReadonlyMap<string, LayerTensor>,
  { largest, groups }: { largest: number; groups: number },
): Map<string, LayerTensor> {
  return new Map(
    [...tensors].map(([name, tensor]) => {
      const part = LATENT.exec(name)?.[1];
      if (part === undefined) return [name, tensor];
      return [
        name,
        part === 'down_kv' ? rotateDown(tensor, largest, groups) : rotateUp(tensor, largest),
      ];
    }),
  );
}

/** [C, D]: each column is a latent. */
function rotateDown({ shape, values }: LayerTensor, largest: number, groups: number): LayerTensor {
  const [width, inputs] = shape as [number, number];
  const turned = Float64Array.from(values);
  for (let column = 0; column < inputs; column++) {
    for (let group = 0; group < groups; group++) {
      const start = ((group * width) / groups) * inputs + column;
      rotateBlocks(turned, start, inputs, hadamardBlocks(width / groups, largest));
    }
  }
  return { shape, values: Float32Array.from(turned) };
}

/** [O, C / groups]: each row reads one group's latent. */
function rotateUp({ shape, values }: LayerTensor, largest: number): LayerTensor {
  const [outputs, width] = shape as [number, number];
  const turned = Float64Array.from(values);
  const blocks = hadamardBlocks(width, largest);
  for (let row = 0; row < outputs; row++) rotateBlocks(turned, row * width, 1, blocks);
  return { shape, values: Float32Array.from(turned) };
}

/** Multiply each block by its Hadamard matrix over the root of its size, its own inverse. */
function rotateBlocks(
  values: Float64Array,
  start: number,
  stride: number,
  blocks: readonly number[],
): void {
  let first = start;
  for (const size of blocks) {
    walshHadamardInPlace(values, first, size, stride);
    for (let i = 0; i < size; i++) values[first + i * stride]! /= Math.sqrt(size);
    first += size * stride;
  }
}
