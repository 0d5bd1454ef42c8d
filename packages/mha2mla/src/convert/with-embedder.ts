import { lookupEmbeddings } from '@mha2mla/mla-runtime';
import { embedInputs, type ModelInputs, type VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';

/** Embeds prompts with their pictures, [B, L, D]; the caller disposes it. */
export type Embedder = (inputs: ModelInputs) => tf.Tensor3D;

/** Hold a model's vision tower and embedding table, and nothing else of it, while `use` runs. */
export async function withEmbedder<T>(
  { family, config, weights }: VlmSource,
  use: (embed: Embedder) => Promise<T>,
): Promise<T> {
  const { vocabSize, hiddenSize } = config.decoder;
  const shape: [number, number] = [vocabSize, hiddenSize];
  const values = await weights.read('embed_tokens.weight', shape);
  const vision = await family.loadVision(config, weights);
  const table = tf.tensor2d(values, shape);
  const lookUp = (ids: Int32Array, size: readonly [number, number]) =>
    lookupEmbeddings(table, ids, size);
  try {
    return await use((inputs) => embedInputs(config, lookUp, vision, inputs));
  } finally {
    vision.dispose();
    table.dispose();
  }
}
