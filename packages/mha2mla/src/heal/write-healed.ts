/** Write a healed model: the converted model's files with the trained weights in their places. */
import { readText, type TensorInfo, writeSafetensors } from '@mha2mla/checkpoint';
import type { CacheOptions } from '@mha2mla/mla-runtime';
import { cacheBlock, LATENT_SCALES, latentScales, type VlmSource } from '@mha2mla/vlm-adapters';
import { type LatentRanks, uniformRankOf } from '../convert/latent-ranks';
import { copyCompanions } from '../output/companions';
import { copyBytes, copyFiles } from '../output/copy-files';
import { type ResultOutput, writeJson } from '../output/result-output';
import { tensorBytes } from '../output/tensor-sizes';
import { storedNames } from './assert-healable';
import type { HealReport } from './heal-model';
import type { MergedWeights } from './merge-adapters';

/** In a folder of one weight file there is none. */
const INDEX = 'model.safetensors.index.json';
const CARD = 'README.md';
/** By recipe. */
const TAUGHT: Record<string, string> = {
  'one-stage': 'with cross-entropy and distillation from the original',
  layerwise: "layer by layer, by what the original's layers give",
  progressive:
    'with cross-entropy and distillation from the original, in stages of ever narrower latents; what stands above is about those before',
};

/** Latents that healing made narrower than those of the converted model. */
export interface NarrowedLatents {
  ranks: LatentRanks;
  /** Of weights by the decoder's names, laid out as on disk. */
  shapes: ReadonlyMap<string, readonly number[]>;
}

/** What healing changed beside weights. */
export interface HealedLatents {
  narrowed?: NarrowedLatents;
  /** With scales of latents that were fitted anew. */
  cache?: CacheOptions;
}

/**
 * Write everything, config.json last: a folder without it is unfinished.
 * @param merged weights by the decoder's names; all maps of latents are among them where those are
 *   narrowed.
 * @throws RangeError when the source does not store one of them.
 */
export async function writeHealed(
  source: VlmSource,
  output: ResultOutput,
  merged: MergedWeights,
  report: HealReport & { options: Record<string, unknown> },
  { narrowed, cache }: HealedLatents = {},
): Promise<void> {
  const { checkpoint, store, rankFile } = source;
  const stored = storedNames(source, [...merged.keys()]);
  const fresh = new Map([...merged].map(([name, values]) => [stored.get(name)!, values]));
  if (cache?.latentSpecs) fresh.set(LATENT_SCALES, latentScales(cache.latentSpecs));
  const shapes = new Map(
    [...(narrowed?.shapes ?? [])].map(([name, own]) => [stored.get(name), own]),
  );
  const all = [...checkpoint.tensors.values()].flatMap(
    (tensor) =>
      checkpoint.packed?.parts(tensor.name) ?? [
        { ...tensor, shape: [...(shapes.get(tensor.name) ?? tensor.shape)] },
      ],
  );
  for (const [file, tensors] of byFile(all)) {
    const entries = tensors.map(({ name, shape, dtype }) => ({ name, shape, dtype }));
    await output.write(file, (sink) =>
      writeSafetensors(sink, entries, async ({ name }) => {
        const value = fresh.get(name) ?? checkpoint.readBytes(name);
        return typeof value === 'function' ? value() : value;
      }),
    );
  }
  await copyCompanions(store, output);
  // What a conversion tells of its latents is not so once they are narrowed.
  if (narrowed) await writeIndex(source, output, all);
  else await copyFiles(store, output, [INDEX, 'report.json']);
  if (rankFile) await output.write(rankFile.name, (sink) => copyBytes(rankFile, sink));
  await writeJson(output, 'heal.json', report);
  const card = new TextEncoder().encode(await healedCard(source, report));
  await output.write(CARD, (sink) => sink.write(card));
  if (narrowed || cache) {
    await writeJson(output, 'config.json', await healedConfig(source, { narrowed, cache }));
  } else await copyFiles(store, output, ['config.json']);
}

async function writeIndex(
  { store }: VlmSource,
  output: ResultOutput,
  tensors: readonly Pick<TensorInfo, 'shape' | 'dtype'>[],
): Promise<void> {
  if (!(await store.open(INDEX))) return;
  const index = JSON.parse(await readText(store, INDEX));
  const metadata = { ...index.metadata, total_size: tensorBytes(tensors) };
  await writeJson(output, INDEX, { ...index, metadata });
}

/** As a conversion of these ranks and this cache writes it. */
async function healedConfig(
  { store }: VlmSource,
  { narrowed, cache }: HealedLatents,
): Promise<object> {
  const config = JSON.parse(await readText(store, 'config.json'));
  const block = { ...config.mha2mla, ...(cache && { cache: cacheBlock(cache) }) };
  if (!narrowed) return { ...config, mha2mla: block };
  const { latent_ranks: _, ...others } = block;
  const rank = uniformRankOf(narrowed.ranks);
  const latents = {
    low_rank: rank ?? null,
    ...(rank === undefined && { latent_ranks: narrowed.ranks }),
  };
  return { ...config, mha2mla: { ...others, ...latents } };
}

function byFile(tensors: readonly TensorInfo[]): Map<string, TensorInfo[]> {
  const files = new Map<string, TensorInfo[]>();
  for (const tensor of tensors) {
    files.set(tensor.file, [...(files.get(tensor.file) ?? []), tensor]);
  }
  return files;
}

/** The converted model's card, and what healing did. */
async function healedCard(
  { store }: VlmSource,
  report: HealReport & { options: Record<string, unknown> },
): Promise<string> {
  const before = (await store.open(CARD)) ? `${(await readText(store, CARD)).trimEnd()}\n` : '';
  return [...(before ? [before] : []), ...healingSection(report)].join('\n');
}

/** Lines of a card. */
export function healingSection({
  steps,
  trainableShare,
  loss,
  options,
}: HealReport & { options: { recipe?: unknown } }): string[] {
  return [
    '## Healing',
    '',
    `Fine-tuned in ${steps} updates of ${(100 * trainableShare).toFixed(1)} % of the language model's weights, ${TAUGHT[String(options.recipe)] ?? TAUGHT['one-stage']}. The loss fell from ${loss.first.toFixed(3)} to ${loss.last.toFixed(3)}; \`heal.json\` has all of it.`,
    '',
  ];
}
