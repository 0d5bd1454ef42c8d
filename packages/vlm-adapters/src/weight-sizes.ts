/** What a model's weights take, from headers alone. */
import { keptPacking, packedBytes, type WeightFormat } from '@mha2mla/mla-runtime';
import { expectedTensors } from './expected-tensors';
import type { VlmSource } from './open-vlm';

/** Bytes that a model's weights take. */
export interface WeightSizes {
  /** Bytes of f32 tensors of the backend, with what decoding derives from the up-projections. */
  tensorBytes: number;
  /** Bytes of packed matrices; on webgpu in buffers of the device, elsewhere in plain arrays. */
  packedBytes: number;
  /** The largest tensor, by our name. */
  largest: { name: string; sizeBytes: number };
}

/** Options of `weightSizes`. */
export interface WeightSizeOptions {
  /** How matrices are kept. Default f32. */
  weights?: WeightFormat;
  /** Inputs that share a scale, of int8 and int4. Default 32. */
  groupSize?: number;
}

/** Count the weights that a loaded model would hold. */
export function weightSizes(
  source: VlmSource,
  { weights: format = 'f32', groupSize = 32 }: WeightSizeOptions = {},
): WeightSizes {
  const sizes = { tensorBytes: 0, packedBytes: 0, largest: { name: '', sizeBytes: 0 } };
  const addTensor = (name: string, sizeBytes: number) => {
    sizes.tensorBytes += sizeBytes;
    if (sizeBytes > sizes.largest.sizeBytes) sizes.largest = { name, sizeBytes };
  };
  const { tieWordEmbeddings } = source.config.decoder;
  for (const [name, shape] of shapesOf(source)) {
    const sizeBytes = 4 * shape.reduce((product, size) => product * size, 1);
    const packs = format !== 'f32' && isMatrix(name, shape);
    if (packs) {
      const packing = keptPacking(source.weights, name, { format, groupSize });
      sizes.packedBytes += packedBytes(shape as [number, number], packing);
    } else addTensor(name, sizeBytes);
    // Decoding keeps up-projections by head, beside their own form.
    if (/^layers\..*\.up_[kv]\.weight$/.test(name)) addTensor(name, sizeBytes);
    if (name === 'embed_tokens.weight' && tieWordEmbeddings && !packs) addTensor(name, sizeBytes);
  }
  return sizes;
}

/** Bytes that a checkpoint stores of the weights that a model loads. */
export function storedBytes(source: VlmSource): number {
  const { weights, checkpoint } = source;
  const stored = [...shapesOf(source).keys()].map((name) => weights.storedName(name)!);
  return stored
    .flatMap((name) => checkpoint.packed?.parts(name) ?? [checkpoint.tensors.get(name)!])
    .reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Linear maps and the table of embeddings; tables of positions are added as they are. */
function isMatrix(name: string, shape: readonly number[]): boolean {
  return shape.length === 2 && /\.weight$/.test(name) && !/position_embedding/.test(name);
}

/** Shapes of all weights, and of the biases that there are, by our names. */
function shapesOf(source: VlmSource): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  for (const name of expectedTensors(source)) {
    for (const one of [name, name.replace(/\.weight$/, '.bias')]) {
      const shape = source.weights.shape(one);
      if (shape) shapes.set(one, shape);
    }
  }
  return shapes;
}
