/** Fit scales of latents anew, to what a model has become by healing. */
import { type CacheOptions, fitsLatents, type WeightReader } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { fitCache } from '../convert/fit-cache';
import { roundValues } from '../convert/round-values';
import { calibrationBatches } from '../data/calibration-samples';
import type { Question } from '../data/question';
import { spaced } from '../data/spaced';
import { storedNames } from './assert-healable';
import type { MergedWeights } from './merge-adapters';

/** Questions whose tokens a fit looks at: more than it takes into account, of many pictures. */
const SAMPLES = 64;

/**
 * @param merged weights by the decoder's names, as they will be stored.
 * @param questions that the model was healed on.
 * @returns the model's setting with new `latentSpecs`; `undefined` where it has none.
 * @throws the signal's reason when aborted.
 */
export async function refitCache(
  source: VlmSource,
  merged: MergedWeights,
  questions: readonly Question[],
  signal?: AbortSignal,
): Promise<CacheOptions | undefined> {
  if (!source.cache.latentSpecs || !fitsLatents(source.cache)) return undefined;
  const processor = await source.family.loadProcessor(source.config, source.store);
  const samples = await calibrationBatches(processor, spaced(questions, SAMPLES), { signal });
  return fitCache(source, samples, { weights: healedReader(source, merged), signal });
}

/** The model's weights with healed ones in their places, as they are read back. */
function healedReader(source: VlmSource, merged: MergedWeights): WeightReader {
  const { weights, checkpoint } = source;
  const stored = storedNames(source, [...merged.keys()]);
  return {
    shape: (name) => weights.shape(name),
    async read(name, expected) {
      const value = merged.get(name);
      if (value === undefined) return weights.read(name, expected);
      const values = typeof value === 'function' ? await value() : value;
      return roundValues(name, values, checkpoint.tensors.get(stored.get(name)!)!.dtype);
    },
  };
}
