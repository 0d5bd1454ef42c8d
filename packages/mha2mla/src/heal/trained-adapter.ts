/** What was trained, without the model that it stands on. */
import type { LayerTensor } from '../convert/layer-weights';
import type { AttachedAdapters } from './attach-adapters';

/** A [r, in], B [out, r] and, with DoRA, m [out] by the decoder's names of parameters. */
export type TrainedAdapter = ReadonlyMap<string, LayerTensor>;

/** What follows a module in the names of an adapter's parameters. */
export const ADAPTER_PART = /\.lora_(A\.weight|B\.weight|magnitude_vector)$/;
/** Most names listed in an error: enough to see the pattern. */
const LISTED = 3;

/** @throws RangeError where more is trained than PEFT's format holds: maps, biases, norms. */
export function assertAdapterAlone({ parameters }: Pick<AttachedAdapters, 'parameters'>): void {
  const others = parameters.map(({ name }) => name).filter((name) => !ADAPTER_PART.test(name));
  if (others.length === 0) return;
  throw new RangeError(
    `healModel: LoRA or DoRA must be all that is trained where nothing is merged, got ${others.length} others: ${others.slice(0, LISTED).join(', ')}. Merge, or leave biases (--no-biases), norms (--policy) and maps (--adapter) frozen.`,
  );
}

/** Read the adapter off the device. */
export async function readAdapter({ parameters }: AttachedAdapters): Promise<TrainedAdapter> {
  const tensors = new Map<string, LayerTensor>();
  for (const { name, variable } of parameters) {
    tensors.set(name, { shape: variable.shape, values: (await variable.data()) as Float32Array });
  }
  return tensors;
}
