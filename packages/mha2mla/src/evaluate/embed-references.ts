import type { PrefillStep } from '@mha2mla/mla-runtime';
import type { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import type * as tf from '@tensorflow/tfjs-core';
import type { PackedReferences } from './pack-references';
import { referenceStep } from './reference-step';

/** Packed questions as any decoder takes them that shares the model's vision tower and embeddings. */
export interface EmbeddedReferences extends PackedReferences {
  /** [B, L, D]. */
  readonly inputsEmbeds: tf.Tensor3D;
  readonly step: PrefillStep;
  /** Frees the embeddings and the step. */
  dispose(): void;
}

/** Look at the pictures once, for however many decoders. The caller disposes the result. */
export function embedReferences(
  model: Pick<VisionLanguageModel, 'config' | 'embed'>,
  packed: PackedReferences,
): EmbeddedReferences {
  const inputsEmbeds = model.embed(packed.inputs);
  const step = referenceStep(model.config, packed);
  return {
    ...packed,
    inputsEmbeds,
    step,
    dispose: () => {
      inputsEmbeds.dispose();
      step.dispose();
    },
  };
}
