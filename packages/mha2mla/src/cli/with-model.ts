import { VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import { useBackend } from '../node/register-backends';
import type { Context } from './context';
import type { RunFlags } from './shared-options';

/** Load a model on the chosen backend for as long as `use` runs. */
export async function withModel<T>(
  source: VlmSource,
  { backend }: Pick<RunFlags, 'backend'>,
  { signal, terminal }: Pick<Context, 'signal' | 'terminal'>,
  use: (model: VisionLanguageModel) => Promise<T>,
): Promise<T> {
  await useBackend(backend);
  const model = await VisionLanguageModel.load(source, { signal, onProgress: terminal.progress });
  try {
    return await use(model);
  } finally {
    model.dispose();
  }
}
