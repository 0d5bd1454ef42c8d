/** Write what surrounds the converted layers: other weights, index, config, tokenizer, report. */
import { dtypeBits, readText, type TensorInfo, writeSafetensors } from '@mha2mla/checkpoint';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { ConversionOutput } from './conversion-output';
import { writeJson } from './conversion-output';
import type { ConversionReport } from './conversion-report';
import type { LayerRecord } from './convert-layer';
import type { ConversionPlan } from './convert-options';
import { storedLayer } from './layer-source';
import { mlaBlock } from './mla-block';
import { modelCard } from './model-card';
import { type ShardEntry, shardName } from './write-layer';

/** Files beside the weights that a model needs, copied where they are present. */
const COMPANIONS = [
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'generation_config.json',
  'merges.txt',
  'preprocessor_config.json',
  'processor_config.json',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
];
/** A tokenizer of 256 thousand tokens with its merges takes some 35 MB. */
const MAX_COMPANION_BYTES = 128 * 2 ** 20;

/** Write everything but the layers, config.json last: a folder without it is unfinished. */
export async function writeFrame(
  source: VlmSource,
  output: ConversionOutput,
  plan: ConversionPlan,
  layers: readonly LayerRecord[],
  report: ConversionReport,
): Promise<void> {
  const count = layers.length + 1;
  const rest = await writeRest(source, output, shardName(0, count), layers.length, plan);
  await writeJson(output, 'model.safetensors.index.json', index(rest, layers, count));
  for (const name of COMPANIONS) {
    if (!(await source.store.open(name))) continue;
    const bytes = new TextEncoder().encode(
      await readText(source.store, name, { maxBytes: MAX_COMPANION_BYTES }),
    );
    await output.write(name, (sink) => sink.write(bytes));
  }
  await writeJson(output, 'report.json', report);
  const card = new TextEncoder().encode(modelCard(source, report));
  await output.write('README.md', (sink) => sink.write(card));
  const { raw } = source.config.source;
  await writeJson(output, 'config.json', { ...raw, mha2mla: mlaBlock(plan, layers) });
}

/** Embeddings, head, norms, vision tower and projector, as they are. */
async function writeRest(
  source: VlmSource,
  output: ConversionOutput,
  shard: string,
  layers: number,
  { dtype }: ConversionPlan,
): Promise<ShardEntry[]> {
  const { checkpoint } = source;
  const prefixes = Array.from({ length: layers }, (_, i) => storedLayer(source, i).prefix);
  const inLayer = ({ name }: TensorInfo) => prefixes.some((prefix) => name.startsWith(prefix));
  const entries = [...checkpoint.tensors.values()]
    .filter((tensor) => !inLayer(tensor))
    .map(({ name, shape, dtype: own }) => ({ name, shape: [...shape], dtype: dtype ?? own }));
  await output.write(shard, (sink) =>
    writeSafetensors(
      sink,
      entries,
      ({ name }) => (dtype ? checkpoint.readFloat32(name) : checkpoint.readBytes(name)),
      { metadata: { format: 'pt' } },
    ),
  );
  return entries;
}

function index(
  rest: readonly ShardEntry[],
  layers: readonly LayerRecord[],
  count: number,
): Record<string, unknown> {
  const shards = [rest, ...layers.map(({ entries }) => entries)];
  const map = shards.flatMap((entries, i) =>
    entries.map(({ name }): [string, string] => [name, shardName(i, count)]),
  );
  const bytes = shards.flat().reduce((sum, { shape, dtype }) => {
    return sum + (shape.reduce((a, b) => a * b, 1) * dtypeBits(dtype)) / 8;
  }, 0);
  map.sort(([a], [b]) => (a < b ? -1 : 1));
  return { metadata: { total_size: bytes }, weight_map: Object.fromEntries(map) };
}
