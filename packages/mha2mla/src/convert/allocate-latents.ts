/** Share a budget of cache bytes among the latents of all layers and modalities, as measured. */
import { allocateRanks, type RankCurve } from '@mha2mla/lowrank';
import type { CacheOptions, DecoderConfig } from '@mha2mla/mla-runtime';
import type { ConversionPlan } from './convert-options';
import { type LatentRanks, uniformRanks } from './latent-ranks';
import type { MeasuredLayer } from './measure-layers';
import type { Modality } from './modality-mask';
import { budgetBytes } from './plan-kv-budget';
import { plannedCacheBytes } from './planned-cache-bytes';

/** How far ranks may be from the one that all could have; beyond, predictions fail (decision 3). */
const SPREAD = 1.5;

/** Highest rank that measuring has to look at. */
export function highestRank(rank: number, widest: number): number {
  return Math.min(widest, Math.floor(SPREAD * rank));
}

/**
 * @param plan of a budget, with the one rank that fits it.
 * @param measured every layer.
 */
export function allocateLatents(
  config: DecoderConfig,
  plan: ConversionPlan & { rank: number; kvBudget: number },
  measured: readonly MeasuredLayer[],
): LatentRanks {
  const { rank, decouple } = plan;
  const modalities: Modality[] = decouple ? ['vision', 'text'] : ['vision'];
  const curves = modalities.flatMap((modality) => {
    return measured.map((layer, index) => {
      const ownPlan = { ...plan, cache: cacheOfLayer(plan.cache, index) };
      const bytes = bytesByRank(config, ownPlan, modality, layer.errors[modality]!.length);
      return curveOf(layer, modality, { bytes, decouple });
    });
  });
  const { ranks } = allocateRanks(curves, {
    budget: budgetBytes(config, plan.kvBudget),
    floor: Math.ceil(rank / SPREAD),
    cap: Math.floor(SPREAD * rank),
  });
  const layers = measured.length;
  const vision = ranks.slice(0, layers);
  return { vision, text: decouple ? ranks.slice(layers) : vision };
}

/** The change of the residual stream that a latent's error makes, relative to it. */
function curveOf(
  { errors, shares, residual }: MeasuredLayer,
  modality: Modality,
  { bytes, decouple }: { bytes: number[]; decouple: boolean },
): RankCurve {
  const share = decouple ? shares[modality] : shares.vision + shares.text;
  return { errors: errors[modality]!, weight: residual > 0 ? share / residual : 0, bytes };
}

/** The setting of one layer, as if it were all. */
function cacheOfLayer({ layers, ...cache }: CacheOptions, index: number): CacheOptions {
  const own = layers?.[index];
  return own ? { ...cache, kvBits: own.kvBits, ropeBits: own.ropeBits } : cache;
}

/** Bytes of one layer's latent and rotary keys in the half of the tokens that are of a modality. */
function bytesByRank(
  config: DecoderConfig,
  plan: ConversionPlan,
  modality: Modality,
  count: number,
): number[] {
  return Array.from({ length: count }, (_, rank) => {
    const form = { ...plan, latentRanks: uniformRanks(rank, 1) };
    const bytes = plannedCacheBytes({ ...config, numHiddenLayers: 1 }, form);
    return plan.decouple ? bytes[modality] / 2 : (bytes.vision + bytes.text) / 2;
  });
}
