/** Write a healed model: the converted model's files with the trained weights in their places. */
import { readText, type TensorInfo, writeSafetensors } from '@mha2mla/checkpoint';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { copyCompanions } from '../output/companions';
import { copyBytes, copyFiles } from '../output/copy-files';
import { type ResultOutput, writeJson } from '../output/result-output';
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
};

/**
 * Write everything, config.json last: a folder without it is unfinished.
 * @param merged weights by the decoder's names.
 * @throws RangeError when the source does not store one of them.
 */
export async function writeHealed(
  source: VlmSource,
  output: ResultOutput,
  merged: MergedWeights,
  report: HealReport & { options: Record<string, unknown> },
): Promise<void> {
  const { checkpoint, store, rankFile } = source;
  const stored = storedNames(source, [...merged.keys()]);
  const fresh = new Map([...merged].map(([name, values]) => [stored.get(name)!, values]));
  for (const [file, tensors] of byFile([...checkpoint.tensors.values()])) {
    const entries = tensors.map(({ name, shape, dtype }) => ({ name, shape: [...shape], dtype }));
    await output.write(file, (sink) =>
      writeSafetensors(sink, entries, async ({ name }) => {
        const value = fresh.get(name) ?? checkpoint.readBytes(name);
        return typeof value === 'function' ? value() : value;
      }),
    );
  }
  await copyCompanions(store, output);
  await copyFiles(store, output, [INDEX, 'report.json']);
  if (rankFile) await output.write(rankFile.name, (sink) => copyBytes(rankFile, sink));
  await writeJson(output, 'heal.json', report);
  const card = new TextEncoder().encode(await healedCard(source, report));
  await output.write(CARD, (sink) => sink.write(card));
  await copyFiles(store, output, ['config.json']);
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
