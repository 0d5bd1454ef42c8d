/**
 * Files beside the weights that the reference's loader reads: the rank file, and the config of the
 * model between its two stages. Both are named relative to the model's folder, which Python must be
 * run in.
 */
import { encodeRankFile } from '@mha2mla/checkpoint';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { type ResultOutput, writeJson } from '../output/result-output';
import type { LayerRecord } from './convert-layer';
import type { ConversionPlan } from './convert-options';
import { convertedConfig } from './converted-config';
import { mlaBlock, RANK_FILE, STAGE1_CONFIG, stage1Block } from './mla-block';

/** Write those that the config names. */
export async function writeReferenceFiles(
  { config }: Pick<VlmSource, 'config'>,
  output: ResultOutput,
  plan: ConversionPlan,
  layers: readonly LayerRecord[],
): Promise<void> {
  const block = mlaBlock(plan, layers);
  if (block.qk_tensor_path !== null) {
    const { numHiddenLayers, numKeyValueHeads, headDim } = config.decoder;
    const ranks = layers.flatMap(({ ropePairs }) =>
      ropePairs.flatMap((pairs) => ranksOf(pairs, headDim)),
    );
    const bytes = encodeRankFile({
      ranks: Uint8Array.from(ranks),
      shape: [numHiddenLayers, numKeyValueHeads, headDim],
    });
    await output.write(RANK_FILE, (sink) => sink.write(bytes));
  }
  if ('stage1_path' in block) {
    const stage1 = convertedConfig(config.source.raw, plan, stage1Block(plan));
    await writeJson(output, STAGE1_CONFIG, stage1);
  }
}

/** Ranks of one head: pairs that keep their rotation first, each part in ascending order. */
function ranksOf(kept: readonly number[], headDim: number): number[] {
  const half = headDim / 2;
  const order = [...kept, ...Array(half).keys()].filter((pair, i, all) => all.indexOf(pair) === i);
  const ranks = Array.from({ length: half }, (_, pair) => order.indexOf(pair));
  return [...ranks, ...ranks];
}
