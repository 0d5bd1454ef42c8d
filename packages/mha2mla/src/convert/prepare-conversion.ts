import {
  assertComplete,
  type ModelInputs,
  type VlmSource,
  videoAsText,
} from '@mha2mla/vlm-adapters';
import { assertUnfactored } from './assert-unfactored';
import type { ConversionPlan, ConvertOptions } from './convert-options';
import { planConversion } from './plan-conversion';

/**
 * Check options, weights and samples, before any work.
 * @returns the plan, and the model as it will be converted.
 * @throws RangeError
 */
export function prepareConversion(
  original: VlmSource,
  { calibration = [], ...options }: ConvertOptions & { calibration?: readonly ModelInputs[] },
): { source: VlmSource; plan: ConversionPlan; calibration: readonly ModelInputs[] } {
  const { source, plan } = planSource(original, options);
  if (plan.needsCalibration && calibration.length === 0) {
    throw new RangeError(
      'convertModel: calibration samples are needed by strategy mkl, norm2 and greedy, unrotate fitted, init activations or attention, allocation measured and cache.kvMethod static or bands, got none.',
    );
  }
  return { source, plan, calibration };
}

/**
 * Check options and weights, before any work.
 * @returns the plan, and the model as it will be converted.
 * @throws RangeError
 */
export function planSource(
  original: VlmSource,
  options: ConvertOptions,
): { source: VlmSource; plan: ConversionPlan } {
  assertUnfactored(original);
  const plan = planConversion(original.config.decoder, {
    ...options,
    videoAsText: keepVideoBranch(original, options),
  });
  assertComplete(original);
  const source = plan.videoAsText
    ? { ...original, config: videoAsText(original.config) }
    : original;
  if (plan.center && plan.layout === 'reference') checkBiases(source);
  return { source, plan };
}

/** The branch of video that is asked for, which a partial-RoPE model may have decided already. */
function keepVideoBranch(
  { config: { decoder, videoTokenId, visionTokenIds } }: VlmSource,
  { videoAsText }: ConvertOptions,
): boolean | undefined {
  const asText = videoTokenId !== undefined && !visionTokenIds.includes(videoTokenId);
  if (!decoder.mla || !asText) return videoAsText;
  if (videoAsText !== false) return true;
  throw new RangeError(
    'convertModel: videoAsText must be true for a partial-RoPE model that has it, got false.',
  );
}

/** The reference's loader gives keys and values biases where the original has them, nowhere else. */
function checkBiases({ weights }: VlmSource): void {
  const missing = ['k_proj', 'v_proj'].filter(
    (name) => !weights.shape(`layers.0.self_attn.${name}.bias`),
  );
  if (missing.length === 0) return;
  throw new RangeError(
    `convertModel: center with layout reference needs a model whose keys and values have biases, got none of ${missing.join(', ')}. Leave center out, or write the extended layout.`,
  );
}
