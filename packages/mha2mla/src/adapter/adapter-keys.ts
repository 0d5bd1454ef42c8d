/** Files and tensor names of an adapter, as Hugging Face PEFT saves it. */
export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
export const PREFIX = 'base_model.model.';

const PARTS = ['lora_A.weight', 'lora_B.weight', 'lora_magnitude_vector'];

/** The keys of A, B and, with DoRA, m of a module, in the order of `LoraProjection.parameters`. */
export function adapterKeys(module: string, useDora: boolean): string[] {
  return PARTS.slice(0, useDora ? 3 : 2).map((part) => `${PREFIX}${module}.${part}`);
}
