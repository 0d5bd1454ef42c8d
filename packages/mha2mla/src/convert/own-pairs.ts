import type { DecoderConfig, MlaConfig } from '@mha2mla/mla-runtime';
import type { ConvertOptions } from './convert-options';
import { rankFileOf } from './rank-file-of';

/** What chooses pairs, where a model has none yet. */
const CHOOSING = [
  ...['strategy', 'mklVariant', 'mklSplit', 'visionWeight', 'sectionQuotas', 'uniformStart'],
  'ranks',
] as (keyof ConvertOptions)[];

/**
 * Options for a model whose rotation is reduced already and nothing factored (`factor: 'none'`, the
 * first of the paper's two stages): the pairs that it has, as given ranks. What its other pairs lost
 * is in its queries, so there is no rotation left to replace.
 * @throws RangeError naming an option that would choose other pairs, or that looks at an attention
 *   whose pairs all turn.
 */
export function withOwnPairs(
  { headDim }: Pick<DecoderConfig, 'headDim'>,
  { ropePairs }: MlaConfig,
  options: ConvertOptions,
): ConvertOptions {
  const ropeDim = 2 * ropePairs[0]![0]!.length;
  const uneven = ropePairs.findIndex(([pairs]) => 2 * pairs!.length !== ropeDim);
  if (uneven >= 0) {
    throw new RangeError(
      `planConversion: a partial-RoPE model must keep as many pairs in all layers, got ${ropeDim / 2} in layer 0 and ${ropePairs[uneven]![0]!.length} in layer ${uneven}.`,
    );
  }
  const others = Object.entries({
    ropeDim: options.ropeDim !== undefined && options.ropeDim !== ropeDim,
    unrotate: options.unrotate === 'fitted',
    factor: options.factor === 'none',
    init: options.init === 'attention',
    allocation: options.allocation === 'measured',
  });
  const wrong = [
    ...CHOOSING.filter((name) => options[name] !== undefined),
    ...others.flatMap(([name, differs]) => (differs ? [name] : [])),
  ] as (keyof ConvertOptions)[];
  if (wrong.length > 0) {
    const got = wrong.map((name) => `${name}=${name === 'ranks' ? 'a table' : options[name]}`);
    throw new RangeError(
      `planConversion: a partial-RoPE model is factored with its own pairs (ropeDim=${ropeDim}), by weights or activations, got ${got.join(', ')}. Leave ${wrong.length > 1 ? 'them' : 'it'} out, or convert the original.`,
    );
  }
  const layers = ropePairs.map((heads) => ({ ropePairs: heads.map((pairs) => [...pairs]) }));
  return { ...options, ropeDim, unrotate: 'plain', ranks: rankFileOf(layers, headDim).ranks };
}
