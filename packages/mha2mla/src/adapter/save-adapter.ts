/** Save an adapter as Hugging Face PEFT does, so that either reads it. */
import { writeSafetensors } from '@mha2mla/checkpoint';
import { type ResultOutput, writeJson } from '../output/result-output';
import { formatAdapterConfig } from './adapter-config';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapterKeys } from './adapter-keys';
import type { ModelAdapters } from './model-adapters';

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
  const entries = parameters.map(({ variable }, i) => ({
    name: keys[i]!,
    dtype: 'F32' as const,
    shape: variable.shape,
    variable,
  }));
  await output.write(ADAPTER_WEIGHTS, (sink) =>
    writeSafetensors(
      sink,
      entries,
      async ({ variable }) => (await variable.data()) as Float32Array,
    ),
  );
  await writeJson(output as ResultOutput, ADAPTER_CONFIG, formatAdapterConfig(config, baseModel));
}
