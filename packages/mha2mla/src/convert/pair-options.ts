/** Options of a conversion that say how rotary pairs are chosen. */
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import { ropeSections } from '@mha2mla/partial-rope';
import type { ConvertOptions } from './convert-options';

type Strategy = NonNullable<ConvertOptions['strategy']>;
export type MklChoice = Pick<ConvertOptions, 'mklVariant' | 'mklSplit' | 'visionWeight'>;

/** Whether a strategy scores pairs by what attention does to samples. */
export function choosesByScores(strategy: Strategy): boolean {
  return strategy === 'mkl' || strategy === 'norm2' || strategy === 'greedy';
}

/** Fill in what `mkl` takes. @throws RangeError where an option is given that plays no part. */
export function checkMklChoice(
  { ranks, mklVariant, mklSplit, visionWeight }: ConvertOptions,
  strategy: Strategy,
): MklChoice {
  if (strategy === 'mkl' && ranks === undefined) {
    const weight = visionWeight ?? 0.5;
    if (!(weight >= 0 && weight <= 1)) {
      throw new RangeError(`planConversion: visionWeight must lie in [0, 1], got ${weight}.`);
    }
    const [variant, split] = [mklVariant ?? 'unrotate', mklSplit ?? 'rows'];
    return { mklVariant: variant, mklSplit: split, visionWeight: weight };
  }
  const given = Object.entries({ mklVariant, mklSplit, visionWeight });
  const useless = given.find(([, value]) => value !== undefined);
  if (!useless) return {};
  throw new RangeError(
    `planConversion: ${useless[0]} needs pairs chosen by mkl, got ${ranks ? 'given ranks' : `strategy ${strategy}`}.`,
  );
}

/** @returns pairs to keep of each section. @throws RangeError for a model without, or what does not fit. */
export function checkSectionQuotas(
  { headDim, mropeSection }: DecoderConfig,
  { sectionQuotas }: ConvertOptions,
  ropeDim: number,
): number[] | undefined {
  if (sectionQuotas === undefined) return undefined;
  if (!mropeSection) {
    throw new RangeError(
      'planConversion: sectionQuotas need a model with M-RoPE, got one whose pairs all turn with one position.',
    );
  }
  const sections = ropeSections(sectionQuotas, { headDim, ropeDim, mropeSection });
  return sections.map(({ kept }) => kept);
}
