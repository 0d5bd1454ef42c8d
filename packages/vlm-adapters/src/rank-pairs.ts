/**
 * The rotary pairs of a model that the reference has converted: its config names a rank file
 * (`qk_tensor_path`) where ours lists the pairs.
 */
import {
  type ByteSource,
  type ConfigRecord,
  configInteger,
  type ModelConfig,
  readRankFile,
} from '@mha2mla/checkpoint';
import { pairsFromRanks } from '@mha2mla/partial-rope';

/**
 * The config with the pairs that the rank file selects.
 * @throws CheckpointError for another file, RangeError for ranks that do not fit the model.
 */
export async function withRankPairs(
  config: ModelConfig,
  rankFile: ByteSource,
): Promise<ModelConfig> {
  const { numHiddenLayers, numKeyValueHeads, headDim } = config.text;
  const block = config.mha2mla as ConfigRecord;
  const ropeDim = configInteger(block, 'rope_dim_for_mla', { min: 0, max: headDim });
  const { ranks, shape } = await readRankFile(rankFile);
  const expected = [numHiddenLayers, numKeyValueHeads, headDim];
  if (`${shape}` !== `${expected}`) {
    throw new RangeError(
      `withRankPairs: ${rankFile.name} must hold ranks [${expected}] by config.json, got [${shape}].`,
    );
  }
  const size = numKeyValueHeads * headDim;
  const ropePairs = Array.from({ length: numHiddenLayers }, (_, layer) => {
    const own = ranks.subarray(layer * size, (layer + 1) * size);
    return pairsFromRanks(own, { headDim, numKeyValueHeads, ropeDim }).map((pairs) => [...pairs]);
  });
  return { ...config, mha2mla: { ...block, rope_pairs: ropePairs } };
}
