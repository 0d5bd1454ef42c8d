import type { ModelInputs } from '@mha2mla/vlm-adapters';

/** Cut the last token off every row of a left-padded batch. */
export function withoutLastToken(inputs: ModelInputs): {
  head: ModelInputs;
  lastTokens: Int32Array;
} {
  const { batch, length, inputIds, attentionMask } = inputs;
  const cut = (values: Int32Array) => values.filter((_, i) => i % length !== length - 1);
  return {
    head: {
      ...inputs,
      length: length - 1,
      inputIds: cut(inputIds),
      attentionMask: cut(attentionMask),
    },
    lastTokens: Int32Array.from({ length: batch }, (_, row) => inputIds[(row + 1) * length - 1]!),
  };
}
