import { openVlm, type VlmSource } from '@mha2mla/vlm-adapters';
import type { ModelRef } from '../../jobs/job';
import { JobError } from '../../jobs/job-error';
import type { SharedStore } from '../../jobs/job-store';
import { FAMILIES, modelDigest } from '../open-model';

/** Opens models of jobs, each once for as long as the process runs. */
export function modelOpener(
  store: Pick<SharedStore, 'openModel' | 'name'>,
): (model: ModelRef) => Promise<VlmSource> {
  const opened = new Map<string, Promise<VlmSource>>();
  return (model) => {
    const name = JSON.stringify([model.folder, model.digest, model.version]);
    const source = opened.get(name) ?? open(model);
    opened.set(name, source);
    source.catch(() => opened.delete(name)); // it may be there the next time
    return source;
  };

  async function open({ folder, digest }: ModelRef): Promise<VlmSource> {
    const source = await openVlm(await store.openModel(folder), { families: FAMILIES });
    if (modelDigest(source) === digest) return source;
    throw new JobError(
      'bad-job',
      `openModel: ${folder} of ${store.name} must be the model that the run began with, got another. Start the run anew.`,
    );
  }
}
