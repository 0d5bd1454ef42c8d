import type { WeightFormat } from '@mha2mla/mla-runtime';
import { openVlm, VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import type { ModelRef } from '../../jobs/job';
import { JobError } from '../../jobs/job-error';
import type { LoadedModel } from '../../jobs/job-handlers';
import type { SharedStore } from '../../jobs/job-store';
import type { JobRunner } from '../../jobs/run-job';
import { hostMemory } from '../host-memory';
import { FAMILIES, modelDigest } from '../open-model';

/** Models of jobs: each opened once for as long as the process runs, one at a time loaded. */
export function jobModels(store: Pick<SharedStore, 'openModel' | 'name'>): JobRunner['models'] {
  const opened = new Map<string, Promise<VlmSource>>();
  let loaded: { name: string; model: Promise<LoadedModel> } | undefined;
  return { open, load };

  function open(model: ModelRef): Promise<VlmSource> {
    const name = nameOf(model);
    const source = opened.get(name) ?? openFolder(model);
    opened.set(name, source);
    source.catch(() => opened.delete(name)); // it may be there the next time
    return source;
  }

  async function load(model: ModelRef, weights?: WeightFormat): Promise<LoadedModel> {
    const name = nameOf(model, weights);
    if (loaded?.name === name) return loaded.model;
    const before = await loaded?.model;
    loaded = undefined;
    before?.model.dispose();
    const own = { name, model: loadWhole(await open(model), weights) };
    loaded = own;
    own.model.catch(() => {
      if (loaded === own) loaded = undefined;
    });
    return own.model;
  }

  async function openFolder({ folder, digest }: ModelRef): Promise<VlmSource> {
    const source = await openVlm(await store.openModel(folder), { families: FAMILIES });
    if (modelDigest(source) === digest) return source;
    throw new JobError(
      'bad-job',
      `openModel: ${folder} of ${store.name} must be the model that the run began with, got another. Start the run anew.`,
    );
  }
}

function nameOf({ folder, digest, version }: ModelRef, weights?: WeightFormat): string {
  return JSON.stringify([folder, digest, version, weights]);
}

async function loadWhole(source: VlmSource, weights?: WeightFormat): Promise<LoadedModel> {
  const processor = await source.family.loadProcessor(source.config, source.store);
  const memoryBytes = hostMemory(tf.getBackend());
  const options = { ...(weights && { weights }), ...(memoryBytes && { memoryBytes }) };
  return { model: await VisionLanguageModel.load(source, options), processor };
}
