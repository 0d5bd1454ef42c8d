import type { FileStore } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import { loadAdapter } from '../adapter/load-adapter';
import { ModelAdapters } from '../adapter/model-adapters';
import { hostMemory } from '../node/host-memory';
import { useBackend } from '../node/register-backends';
import type { Context } from './context';
import type { AdapterFlags, RunFlags, WeightFlags } from './shared-options';

/** Load a model, and the adapter on it if one is given, on the chosen backend while `use` runs. */
export async function withModel<T>(
  source: VlmSource,
  { backend, adapterFolder, weights }: Pick<RunFlags, 'backend'> & AdapterFlags & WeightFlags,
  { signal, terminal }: Pick<Context, 'signal' | 'terminal'>,
  use: (model: VisionLanguageModel) => Promise<T>,
): Promise<T> {
  // Before the model: loading takes long, and a folder may be misspelt.
  const adapter = adapterFolder === undefined ? undefined : await nodeStore(adapterFolder);
  try {
    const memoryBytes = hostMemory(await useBackend(backend));
    const model = await VisionLanguageModel.load(source, {
      ...(weights && { weights }),
      ...(memoryBytes && { memoryBytes }),
      signal,
      onProgress: terminal.progress,
    });
    try {
      return await (adapter ? withAdapter(model, adapter, signal, use) : use(model));
    } finally {
      model.dispose();
    }
  } finally {
    await adapter?.close?.();
  }
}

async function withAdapter<T>(
  model: VisionLanguageModel,
  store: FileStore,
  signal: AbortSignal,
  use: (model: VisionLanguageModel) => Promise<T>,
): Promise<T> {
  const adapters = new ModelAdapters(model);
  try {
    await loadAdapter(adapters, store, { signal });
    adapters.setAdapter('default');
    return await use(model);
  } finally {
    adapters.dispose();
  }
}
