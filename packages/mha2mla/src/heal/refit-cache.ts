/** Fit scales of latents anew, to what a model has become by healing. */
import type { CacheOptions, WeightReader } from '@mha2mla/mla-runtime';
import { fitsLatents } from '@mha2mla/mla-runtime';
import type { Processor, VlmSource } from '@mha2mla/vlm-adapters';
import { type FitCacheOptions, fitCache } from '../convert/fit-cache';
import { roundValues } from '../convert/round-values';
import { type CalibrationOptions, calibrationBatches } from '../data/calibration-samples';
import type { Question } from '../data/question';
import { storedNames } from './assert-healable';
import type { MergedWeights } from './merge-adapters';

/** Questions whose tokens a fit looks at: more than it takes into account, of many pictures. */
const SAMPLES = 64;

export interface RefitRun
  extends CalibrationOptions,
    Pick<FitCacheOptions, 'signal' | 'keepHidden'> {
  processor: Processor;
  /** What the model was healed on. */
  questions: readonly Question[];
}

/**
 * @param merged weights by the decoder's names, as they will be stored.
 * @returns the model's setting with new `latentSpecs`; `undefined` where it has none.
 * @throws the signal's reason when aborted.
 */
export async function refitCache(
  source: VlmSource,
  merged: MergedWeights,
  { processor, questions, onProgress, ...options }: RefitRun,
): Promise<CacheOptions | undefined> {
  if (!source.cache.latentSpecs || !fitsLatents(source.cache)) return undefined;
  const count = Math.min(SAMPLES, questions.length);
  const chosen = Array.from(
    { length: count },
    (_, i) => questions[Math.floor((i * questions.length) / count)]!,
  );
  const samples = await calibrationBatches(processor, chosen, { ...options, onProgress });
  return fitCache(source, samples, { ...options, weights: healedReader(source, merged) });
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
