import { type DecoderConfig, yieldToEventLoop } from '@mha2mla/mla-runtime';
import {
  type AttentionSample,
  addMklScores,
  addNorm2,
  emptyMklSums,
  emptyNorm2Sums,
  greedyScores,
  mklScores,
  norm2Scores,
} from '@mha2mla/partial-rope';
import type { ConversionPlan } from './convert-options';

/**
 * Scores of a KV head that greedy selection looks at, of each sample: some eight rows of a picture
 * and a question. It holds those of all samples at once, 4 bytes a score and pair.
 */
const GREEDY_SCORES = 4800;

type Method = (
  config: DecoderConfig,
  plan: ConversionPlan,
  samples: readonly AttentionSample[],
  signal: AbortSignal | undefined,
) => Promise<Float64Array>;

const METHODS: Partial<Record<ConversionPlan['strategy'], Method>> = { mkl, norm2, greedy };

/**
 * Score a layer's rotary pairs, where the plan chooses them by what attention does.
 * @returns scores [K * H / 2], to six digits as reports show them, so that a report says exactly
 *   what the pairs were chosen by; `undefined` where the choice needs no scores.
 */
export async function scorePairs(
  config: DecoderConfig,
  plan: ConversionPlan,
  samples: readonly AttentionSample[],
  signal?: AbortSignal,
): Promise<Float64Array | undefined> {
  const method = plan.ranks ? undefined : METHODS[plan.strategy];
  const scores = await method?.(config, plan, samples, signal);
  return scores?.map((score) => Number(score.toPrecision(6)));
}

async function mkl(...[config, plan, samples, signal]: Parameters<Method>) {
  const sums = emptyMklSums({ ...config, split: plan.mklSplit });
  for (const sample of samples) {
    await pause(signal);
    addMklScores(sums, sample, { ...config, variant: plan.mklVariant });
  }
  return mklScores(sums, { visionWeight: plan.visionWeight });
}

async function norm2(...[config, , samples, signal]: Parameters<Method>) {
  const sums = emptyNorm2Sums(config);
  for (const sample of samples) {
    await pause(signal);
    addNorm2(sums, sample);
  }
  return norm2Scores(sums);
}

async function greedy(...[config, , samples, signal]: Parameters<Method>) {
  const { numAttentionHeads, numKeyValueHeads, headDim } = config;
  const group = numAttentionHeads / numKeyValueHeads;
  const keys = Math.max(...samples.map(({ keyCos }) => keyCos.length / (headDim / 2)));
  const maxRows = Math.ceil(GREEDY_SCORES / (group * keys));
  const scores = new Float64Array((numKeyValueHeads * headDim) / 2);
  for (let keyHead = 0; keyHead < numKeyValueHeads; keyHead++) {
    await pause(signal);
    scores.set(greedyScores(samples, config, { maxRows, keyHead }), (keyHead * headDim) / 2);
  }
  return scores;
}

/** Let timers and signals be heard. */
async function pause(signal: AbortSignal | undefined): Promise<void> {
  await yieldToEventLoop();
  signal?.throwIfAborted();
}
