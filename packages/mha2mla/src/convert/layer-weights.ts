/** Weights of one layer in memory, by the decoder's names below `layers.N.`. */
import type { WeightReader } from '@mha2mla/mla-runtime';

export interface LayerTensor {
  shape: readonly number[];
  values: Float32Array;
}

export type LayerWeights = ReadonlyMap<string, LayerTensor>;

/**
 * Serve a layer's weights to the loader of the decoder, as layer `index`.
 * @param others serves what `weights` does not have.
 */
export function layerReader(
  weights: LayerWeights,
  index: number,
  others: WeightReader,
): WeightReader {
  const prefix = `layers.${index}.`;
  const find = (name: string) =>
    name.startsWith(prefix) ? weights.get(name.slice(prefix.length)) : undefined;
  return {
    shape: (name) => find(name)?.shape ?? others.shape(name),
    async read(name, expected) {
      const tensor = find(name);
      if (!tensor) return others.read(name, expected);
      if (tensor.shape.join() !== expected.join()) {
        throw new RangeError(`layerReader: ${name} must be [${expected}], got [${tensor.shape}].`);
      }
      return tensor.values;
    },
  };
}
