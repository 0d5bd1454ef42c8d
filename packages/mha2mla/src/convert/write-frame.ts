/** Write what surrounds the converted layers: other weights, index, config, tokenizer, report. */
import { type TensorEntry, type TensorInfo, writeSafetensors } from '@mha2mla/checkpoint';
import { LATENT_SCALES, latentScales, type VlmSource } from '@mha2mla/vlm-adapters';
import { copyCompanions } from '../output/companions';
import { type ResultOutput, writeJson } from '../output/result-output';
import { tensorBytes } from '../output/tensor-sizes';
import type { ConversionReport } from './conversion-report';
import type { LayerRecord } from './convert-layer';
import type { ConversionPlan } from './convert-options';
import { convertedConfig } from './converted-config';
import { isPackedEntry, keptEntries, readKept } from './kept-tensors';
import { storedLayer } from './layer-source';
import { mlaBlock } from './mla-block';
import { modelCard } from './model-card';
import { writeReferenceFiles } from './reference-files';
import { shardName } from './write-layer';

/** Write everything but the layers, config.json last: a folder without it is unfinished. */
export async function writeFrame(
  source: VlmSource,
  output: ResultOutput,
  plan: ConversionPlan,
  layers: readonly LayerRecord[],
  report: ConversionReport,
): Promise<void> {
  const count = layers.length + 1;
  const rest = await writeRest(source, output, shardName(0, count), layers.length, plan);
  await writeJson(output, 'model.safetensors.index.json', index(rest, layers, count));
  await copyCompanions(source.store, output);
  await writeJson(output, 'report.json', report);
  const card = new TextEncoder().encode(modelCard(source, report));
  await output.write('README.md', (sink) => sink.write(card));
  const block = mlaBlock(plan, layers);
  if (plan.layout === 'reference') await writeReferenceFiles(source, output, plan, layers, block);
  const isPacked = [...rest, ...layers.flatMap(({ entries }) => entries)].some(isPackedEntry);
  const { raw } = source.config.source;
  await writeJson(output, 'config.json', convertedConfig(raw, plan, block, isPacked));
}

/** Embeddings, head, norms, vision tower and projector, as they are, and scales of the latents. */
async function writeRest(
  source: VlmSource,
  output: ResultOutput,
  shard: string,
  layers: number,
  plan: ConversionPlan,
): Promise<TensorEntry[]> {
  const { checkpoint } = source;
  const prefixes = Array.from({ length: layers }, (_, i) => storedLayer(source, i).prefix);
  const inLayer = ({ name }: TensorInfo) => prefixes.some((prefix) => name.startsWith(prefix));
  const entries = [...checkpoint.tensors.values()]
    .filter((tensor) => !inLayer(tensor) && tensor.name !== LATENT_SCALES)
    .flatMap((tensor) => keptEntries(checkpoint, tensor, plan));
  const { latentSpecs } = plan.cache;
  const scales = latentSpecs && latentScales(latentSpecs);
  if (scales) entries.push({ name: LATENT_SCALES, shape: [scales.length], dtype: 'F32' });
  await output.write(shard, (sink) =>
    writeSafetensors(sink, entries, (entry) =>
      scales && entry.name === LATENT_SCALES ? scales : readKept(checkpoint, entry),
    ),
  );
  return entries;
}

function index(
  rest: readonly TensorEntry[],
  layers: readonly LayerRecord[],
  count: number,
): Record<string, unknown> {
  const shards = [rest, ...layers.map(({ entries }) => entries)];
  const map = shards.flatMap((entries, i) =>
    entries.map(({ name }): [string, string] => [name, shardName(i, count)]),
  );
  map.sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    metadata: { total_size: tensorBytes(shards.flat()) },
    weight_map: Object.fromEntries(map),
  };
}
