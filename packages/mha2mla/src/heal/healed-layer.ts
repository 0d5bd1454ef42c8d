/**
 * A finished layer of `healLayerwise`, or stage of `healProgressive`, as a piece of its output: values
 * are read when they are needed.
 */
import { openSafetensors, writeSafetensors } from '@mha2mla/checkpoint';
import type { LayerTensor, LayerWeights } from '../convert/layer-weights';
import type { ResultOutput } from '../output/result-output';

/** The piece of a layer. */
export function layerName(index: number): string {
  return `healed-${String(index).padStart(5, '0')}.safetensors`;
}

/** What a piece holds beside its report. */
interface Weights {
  /** By the decoder's names. */
  weights: LayerWeights;
}

export type StoredLayer<Report> = Report & {
  /** Of its weights, the decoder's. */
  readonly names: readonly string[];
  readWeight(name: string): Promise<Float32Array>;
  /** All weights, without a prefix of their names. */
  read(prefix: string): Promise<LayerWeights>;
};

export function writeHealedLayer(
  output: Pick<ResultOutput, 'write'>,
  name: string,
  { weights, ...report }: Weights,
): Promise<void> {
  const entries = [...weights].map(([weight, { shape }]) => ({
    ...{ name: weight, shape, dtype: 'F32' as const },
  }));
  return output.write(name, (sink) =>
    writeSafetensors(sink, entries, ({ name: weight }) => weights.get(weight)!.values, {
      metadata: { report: JSON.stringify(report) },
    }),
  );
}

/** Open a piece of our own. */
export async function openHealedLayer<Report>(
  output: Pick<ResultOutput, 'read'>,
  name: string,
): Promise<StoredLayer<Report>> {
  const file = await openSafetensors(await output.read(name));
  return {
    ...(JSON.parse(file.metadata.get('report')!) as Report),
    names: [...file.tensors.keys()],
    readWeight: (weight) => file.readFloat32(weight),
    async read(prefix) {
      const weights = new Map<string, LayerTensor>();
      for (const { name: weight, shape } of file.tensors.values()) {
        weights.set(weight.slice(prefix.length), { shape, values: await file.readFloat32(weight) });
      }
      return weights;
    },
  };
}
