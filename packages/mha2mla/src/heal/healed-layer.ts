/** A finished layer of `healLayerwise` as a piece of its output. */
import { openSafetensors, writeSafetensors } from '@mha2mla/checkpoint';
import type { LayerTensor } from '../convert/layer-weights';
import type { ResultOutput } from '../output/result-output';
import type { HealedLayer } from './heal-layerwise';

export function writeHealedLayer(
  output: ResultOutput,
  name: string,
  { weights, losses, trained, total }: HealedLayer,
): Promise<void> {
  const entries = [...weights].map(([weight, { shape }]) => ({
    ...{ name: weight, shape, dtype: 'F32' as const },
  }));
  return output.write(name, (sink) =>
    writeSafetensors(sink, entries, ({ name: weight }) => weights.get(weight)!.values, {
      metadata: { report: JSON.stringify({ losses, trained, total }) },
    }),
  );
}

/** Read a piece of our own. */
export async function readHealedLayer(output: ResultOutput, name: string): Promise<HealedLayer> {
  const file = await openSafetensors(await output.read(name));
  const weights = new Map<string, LayerTensor>();
  for (const { name: weight, shape } of file.tensors.values()) {
    weights.set(weight, { shape, values: await file.readFloat32(weight) });
  }
  return { weights, ...JSON.parse(file.metadata.get('report')!) };
}
