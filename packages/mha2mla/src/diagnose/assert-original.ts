import type { VlmConfig } from '@mha2mla/vlm-adapters';

/** @throws RangeError for a converted model: what is looked at is an attention whose pairs all turn. */
export function assertOriginal({ decoder }: Pick<VlmConfig, 'decoder'>): void {
  if (!decoder.mla) return;
  throw new RangeError(
    'diagnoseModel: expected an original model, got a converted one. Diagnose what it was made of.',
  );
}
