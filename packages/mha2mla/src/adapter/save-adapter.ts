/** Save an adapter as Hugging Face PEFT does, so that either reads it. */
import type { ResultOutput } from '../output/result-output';
import { adapterKeys } from './adapter-keys';
import type { ModelAdapters } from './model-adapters';
import { writeAdapter } from './write-adapter';

/** Options of `saveAdapter`. */
export interface SaveAdapterOptions {
  /** `base_model_name_or_path` of the config: where PEFT finds the model. */
  baseModel?: string;
}

/**
 * Write `adapter_model.safetensors`, then `adapter_config.json`, with the layout of module names
 * that the adapter came in, the published one for a new adapter.
 * @throws RangeError for an unknown name.
 */
export async function saveAdapter(
  adapters: ModelAdapters,
  name: string,
  output: Pick<ResultOutput, 'write'>,
  { baseModel }: SaveAdapterOptions = {},
): Promise<void> {
  const parameters = adapters.parameters(name);
  const { config, modules, layout } = adapters.adapters.get(name)!;
  const keys = modules.flatMap((module) => {
    const { storedNames } = adapters.modules.get(module)!;
    return adapterKeys(storedNames[layout] ?? storedNames.at(-1)!, config.useDora);
  });
  const tensors = parameters.map(({ variable }, i) => ({
    name: keys[i]!,
    shape: variable.shape,
    read: async () => (await variable.data()) as Float32Array,
  }));
  await writeAdapter(output, config, tensors, baseModel);
}
