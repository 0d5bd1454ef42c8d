/**
 * Which token of a batch is padding, text or vision: host-side bytes, made once for a prompt and
 * read by masks, by the two branches of a decoupled latent, and by the cache.
 */
export const PADDING = 0;
export const TEXT = 1;
export const VISION = 2;

export interface TokenLayout {
  readonly batch: number;
  readonly length: number;
  /** [batch * length]: PADDING, TEXT or VISION for each token. */
  readonly kinds: Uint8Array;
}

/** A layout of `length` text tokens a row. */
export function textLayout(batch: number, length: number): TokenLayout {
  return { batch, length, kinds: new Uint8Array(batch * length).fill(TEXT) };
}

/**
 * Read a layout from a batch of token ids.
 * @param inputIds [batch * length].
 * @param attentionMask [batch * length]; 0 where padded.
 * @param isVision whether an id stands for a vision token.
 */
export function tokenLayout(
  inputIds: ArrayLike<number>,
  attentionMask: ArrayLike<number>,
  [batch, length]: readonly [number, number],
  isVision: (id: number) => boolean,
): TokenLayout {
  if (inputIds.length !== batch * length || attentionMask.length !== batch * length) {
    throw new RangeError(
      `tokenLayout: inputIds and attentionMask must hold ${batch} x ${length} values, got ${inputIds.length} and ${attentionMask.length}.`,
    );
  }
  const kinds = Uint8Array.from({ length: batch * length }, (_, i) => {
    if (attentionMask[i] === 0) return PADDING;
    return isVision(inputIds[i]!) ? VISION : TEXT;
  });
  return { batch, length, kinds };
}
