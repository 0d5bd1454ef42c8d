/** What storing merged weights costs: adapters folded in, and all that was trained rounded. */
import type { Projection } from '@mha2mla/mla-runtime';
import type { ModelInputs, VisionLanguageModel, VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { largestLogitChange } from '../adapter/largest-logit-change';
import { linearPlaces } from '../adapter/linear-modules';
import { roundValues } from '../convert/round-values';
import { storedNames } from './assert-healable';
import type { AttachedAdapters } from './attach-adapters';
import { storedProjection } from './put-weights';

/**
 * Compare a model with its adapters beside it and with the weights that are stored; it is left as
 * it was.
 * @param stored by the decoder's names, laid out as on disk, as they are read back.
 * @returns the largest absolute difference of a logit of a real token.
 */
export async function mergeChange(
  student: VisionLanguageModel,
  inputs: ModelInputs,
  { modules, parameters }: AttachedAdapters,
  stored: ReadonlyMap<string, Float32Array>,
): Promise<number> {
  const places = linearPlaces(student.decoder.layers.entries());
  const norms = parameters.filter(({ name }) => /norm\.weight$/.test(name));
  const before = tf.tidy(() => norms.map(({ variable }) => tf.clone(variable)));
  const merged: Projection[] = [];
  const change = () => {
    for (const [module, adapted] of modules) {
      const [weight, bias] = [stored.get(`${module}.weight`)!, stored.get(`${module}.bias`)];
      merged.push(storedProjection(adapted, weight, bias));
      places.get(module)!.replace(merged.at(-1)!);
    }
    for (const { name, variable } of norms) {
      tf.tidy(() => variable.assign(tf.tensor(stored.get(name)!, variable.shape)));
    }
    student.decoder.refresh();
  };
  try {
    return await largestLogitChange(student, inputs, change);
  } finally {
    for (const [i, module] of [...modules.keys()].slice(0, merged.length).entries()) {
      const { projection, replace } = places.get(module)!;
      replace(projection);
      merged[i]!.dispose();
    }
    for (const [i, { variable }] of norms.entries()) variable.assign(before[i]!);
    tf.dispose(before);
    student.decoder.refresh();
  }
}

/** Weights as they are read back from the source's precisions. */
export function asStored(
  source: VlmSource,
  merged: ReadonlyMap<string, Float32Array>,
): Map<string, Float32Array> {
  const names = storedNames(source, [...merged.keys()]);
  return new Map(
    [...merged].map(([name, values]) => {
      const { dtype } = source.checkpoint.tensors.get(names.get(name)!)!;
      return [name, roundValues(name, values, dtype)];
    }),
  );
}
