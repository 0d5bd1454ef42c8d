/** Say what a model takes before it is loaded: a page tells its reader so, and may refuse. */
import type { FileStore } from '@mha2mla/checkpoint';
import { cacheBytesPerToken } from '@mha2mla/mla-runtime';
import { assertComplete } from '../expected-tensors';
import type { OpenVlmOptions } from '../open-vlm';
import { storedBytes, type WeightSizeOptions, weightSizes } from '../weight-sizes';
import type { ModelSource } from './model';
import type { ModelDescription } from './model-description';
import { openSource } from './open-source';

export interface DescribeModelOptions extends WeightSizeOptions {
  /** Those that the application supports; the config's `model_type` picks one. */
  families: OpenVlmOptions['families'];
  signal?: AbortSignal;
}

/**
 * Describe a model: config and headers are read, weights are not.
 * @param source as `loadModel` takes it.
 * @throws the signal's reason when aborted, what `openVlm` throws, and RangeError for weights that
 *   are missing.
 */
export async function describeModel(
  source: FileStore | ModelSource,
  { families, signal, ...format }: DescribeModelOptions,
): Promise<ModelDescription> {
  const opened = await openSource(source, { families, signal });
  assertComplete(opened);
  const { tensorBytes, packedBytes } = weightSizes(opened, format);
  const { decoder } = opened.config;
  const { mla: _, ...original } = decoder;
  return {
    family: opened.family.name,
    isConverted: decoder.mla !== undefined,
    storedBytes: storedBytes(opened),
    memoryBytes: tensorBytes + packedBytes,
    cacheBytesPerToken: cacheBytesPerToken(decoder, opened.weights, opened.cache),
    originalCacheBytesPerToken: cacheBytesPerToken(original, { shape: () => undefined }).text,
  };
}
