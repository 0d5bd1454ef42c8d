import { type PrefillStep, prefillStep, tokenLayout } from '@mha2mla/mla-runtime';
import type { VlmConfig } from '@mha2mla/vlm-adapters';
import type { PackedReferences } from './pack-references';

/** What a pass over packed questions needs besides their embeddings. The caller disposes it. */
export function referenceStep(
  config: VlmConfig,
  { inputs, positionIds, branches }: ReferencePlaces,
): PrefillStep {
  const { inputIds, attentionMask, batch, length } = inputs;
  const vision = new Set(config.visionTokenIds);
  const isVision = (id: number) => vision.has(id);
  const layout = tokenLayout(inputIds, attentionMask, [batch, length], isVision);
  return prefillStep(layout, positionIds, config.decoder, { branches });
}

/** Packed questions without their pictures. */
export interface ReferencePlaces extends Pick<PackedReferences, 'positionIds' | 'branches'> {
  inputs: Pick<PackedReferences['inputs'], 'inputIds' | 'attentionMask' | 'batch' | 'length'>;
}
