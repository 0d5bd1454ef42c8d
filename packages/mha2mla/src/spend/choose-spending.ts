/**
 * Find what a budget of bytes is best spent on, rank or bits: predict every pair on calibration
 * data, convert the best few in memory, and ask whether answers bear the prediction out.
 */
import { memoryStore } from '@mha2mla/checkpoint';
import { openVlm, type VlmSource } from '@mha2mla/vlm-adapters';
import type { ConvertRunOptions } from '../convert/convert-model';
import type { ConvertOptions } from '../convert/convert-options';
import { inlineRunner } from '../convert/inline-runner';
import { prepareConversion } from '../convert/prepare-conversion';
import { widestRank } from '../convert/widest-rank';
import type { ReferenceScore } from '../evaluate/score-answers';
import { memoryOutput, type ResultOutput, readOwnJson, writeJson } from '../output/result-output';
import { ranksToMeasure } from './error-curve';
import { errorsName, measureErrors } from './measure-errors';
import { candidatesOf, type Prediction, predictCandidates } from './predict-candidates';
import { ropeDimsToTry } from './rope-dims';
import { surelyLikeliest } from './surely-likeliest';

/** Candidates that are converted and asked. */
const CHECKED = 3;
const FOUND = 'spending.json';

/** What `spend: 'auto'` compared, and what it took. */
export interface Spending {
  /** Share of the original's bytes that could be spent. */
  kvBudget: number;
  /** The best of each number of bits, by prediction, and what answers cost where they were asked. */
  candidates: (Prediction & {
    /** Negative log-likelihood a token of the calibration's answers, over the cache. */
    nll?: number;
  })[];
  /** Which of them was taken: the first, or one that was asked and found likelier beyond doubt. */
  chosen: number;
  /** Whether any was asked. */
  checked: boolean;
}

type Fixed = Pick<ConvertOptions, 'kvBudget' | 'ropeDim' | 'allocation' | 'cache' | 'spend'>;
type Scores = readonly ReferenceScore[];
type Convert = (output: ResultOutput, options: ConvertRunOptions) => Promise<unknown>;

/**
 * @param output keeps what was measured, so that a stopped search goes on.
 * @param convert what a candidate is made by.
 * @returns what was found, the options that it stands for, and pieces of the output to remove.
 * @throws RangeError as `convertModel` does.
 */
export async function chooseSpending(
  original: VlmSource,
  output: ResultOutput,
  options: ConvertRunOptions,
  convert: Convert,
): Promise<{ spending: Spending; fixed: Fixed; scratch: string[] }> {
  const { factorize = inlineRunner, keepHidden, signal, onProgress, cache = {} } = options;
  const { source, plan: given, calibration } = prepareConversion(original, options);
  const plan = { ...given, cache };
  const config = source.config.decoder;
  const scratch = Array.from({ length: config.numHiddenLayers }, (_, i) => errorsName(i));
  const fixedOf = (candidate: Prediction): Fixed => {
    const { kvBits, ropeBits, ropeDim, kvBudget } = candidate;
    return {
      spend: 'rank',
      kvBudget,
      ropeDim,
      allocation: plan.allocation,
      cache: { ...cache, kvBits, ropeBits },
    };
  };
  const pieces = { scratch: [...scratch, FOUND] };
  if (await output.has(FOUND)) {
    const spending = await readOwnJson<Spending>(output, FOUND);
    return { spending, fixed: fixedOf(spending.candidates[spending.chosen]!), ...pieces };
  }
  const kvBudget = options.kvBudget!;
  const ropeDims = ropeDimsToTry(config, options);
  const candidates = candidatesOf(config, plan, { kvBudget, ropeDims });
  const ranks = new Map<number, number[]>();
  for (const ropeDim of ropeDims) {
    const own = candidates.filter((one) => one.ropeDim === ropeDim);
    if (own.length === 0) continue;
    const highest = Math.max(...own.map(({ rank }) => rank));
    ranks.set(ropeDim, ranksToMeasure(highest, widestRank(config, { ...plan, ropeDim })));
  }
  const run = { source, plan, output, calibration, factorize, keepHidden, signal, onProgress };
  const layers = await measureErrors({ ...run, ranks });
  const predicted = predictCandidates(config, plan, candidates, layers);
  // Others of the same bits differ less than predictions do.
  const best = predicted.filter(
    ({ kvBits }, i) => predicted.findIndex((one) => one.kvBits === kvBits) === i,
  );
  const asked = await askCandidates(original, options, best.map(fixedOf), convert);
  const spending: Spending = {
    kvBudget,
    candidates: best.map((one, i) => ({ ...one, ...(asked[i] && { nll: nllOf(asked[i]) }) })),
    chosen: surelyLikeliest(asked),
    checked: asked.length > 0,
  };
  await writeJson(output, FOUND, spending);
  return { spending, fixed: fixedOf(best[spending.chosen]!), ...pieces };
}

/** Convert the first few in memory, one after the other, and ask them. */
async function askCandidates(
  original: VlmSource,
  { ask, onProgress, ...options }: ConvertRunOptions,
  candidates: readonly Fixed[],
  convert: Convert,
): Promise<Scores[]> {
  const asked: Scores[] = [];
  const few = ask ? candidates.slice(0, CHECKED) : [];
  for (const [i, candidate] of few.entries()) {
    onProgress?.({ phase: 'check', loaded: i, total: few.length });
    const made = memoryOutput();
    await convert(made, { ...options, ...candidate });
    const families = [original.family];
    asked.push(await ask!(await openVlm(memoryStore(made.files), { families })));
  }
  return asked;
}

/** Nats a token of all answers. */
function nllOf(scores: Scores): number {
  const sum = (key: 'nll' | 'tokens') => scores.reduce((total, one) => total + one[key], 0);
  return sum('nll') / sum('tokens');
}
