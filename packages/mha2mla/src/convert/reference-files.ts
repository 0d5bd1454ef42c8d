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
import { RANK_FILE, STAGE1_CONFIG, stage1Block } from './mla-block';
import { rankFileOf } from './rank-file-of';

/** Write those that `block`, the config's, names. */
export async function writeReferenceFiles(
  { config }: Pick<VlmSource, 'config'>,
  output: ResultOutput,
  plan: ConversionPlan,
  layers: readonly LayerRecord[],
  block: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (block.qk_tensor_path !== null) {
    const bytes = encodeRankFile(rankFileOf(layers, config.decoder.headDim));
    await output.write(RANK_FILE, (sink) => sink.write(bytes));
  }
  if ('stage1_path' in block) {
    const stage1 = convertedConfig(config.source.raw, plan, stage1Block(plan));
    await writeJson(output, STAGE1_CONFIG, stage1);
  }
}
