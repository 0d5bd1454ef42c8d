import { writeSafetensors } from '@mha2mla/checkpoint';
import { type ResultOutput, writeJson } from '../output/result-output';
import { type AdapterConfig, formatAdapterConfig } from './adapter-config';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from './adapter-keys';

export interface AdapterTensor {
  /** As PEFT has it (`adapterKeys`). */
  name: string;
  shape: readonly number[];
  read(): Promise<Float32Array>;
}

/**
 * Write `adapter_model.safetensors`, then `adapter_config.json`, as Hugging Face PEFT does.
 * @param baseModel where PEFT finds the model.
 */
export async function writeAdapter(
  output: Pick<ResultOutput, 'write'>,
  config: AdapterConfig,
  tensors: readonly AdapterTensor[],
  baseModel?: string,
): Promise<void> {
  const entries = tensors.map((tensor) => ({
    ...{ ...tensor, shape: [...tensor.shape], dtype: 'F32' as const },
  }));
  await output.write(ADAPTER_WEIGHTS, (sink) =>
    writeSafetensors(sink, entries, ({ read }) => read()),
  );
  await writeJson(output, ADAPTER_CONFIG, formatAdapterConfig(config, baseModel));
}
