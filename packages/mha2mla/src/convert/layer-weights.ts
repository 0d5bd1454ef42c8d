/** Weights of one layer in memory, by the decoder's names below `layers.N.`. */
import type { WeightReader } from '@mha2mla/mla-runtime';

export interface LayerTensor {
  shape: readonly number[];
  values: Float32Array;
}

export type LayerWeights = ReadonlyMap<string, LayerTensor>;

/** Serve a layer's weights to the loader of the decoder, as layer `index`. */
export function layerReader(weights: LayerWeights, index: number): WeightReader {
  const prefix = `layers.${index}.`;
  const find = (name: string) =>
    name.startsWith(prefix) ? weights.get(name.slice(prefix.length)) : undefined;
  return {
    shape: (name) => find(name)?.shape,
    async read(name, expected) {
      const tensor = find(name);
      if (!tensor || tensor.shape.join() !== expected.join()) {
        throw new RangeError(
          `layerReader: ${name} must be [${expected}], got [${tensor?.shape ?? 'nothing'}].`,
        );
      }
      return tensor.values;
    },
  };
}
