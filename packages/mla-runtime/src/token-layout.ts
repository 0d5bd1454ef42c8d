/**
 * Which token of a batch is padding, text or vision: host-side bytes, made once for a prompt and
 * read by masks, by the two branches of a decoupled latent, and by the cache.
 */
export const PADDING = 0;
/** The kind of a text token. */
export const TEXT = 1;
/** The kind of a token of a picture or video. */
export const VISION = 2;

/** Which tokens of a batch are text, vision or padding. */
export interface TokenLayout {
  readonly batch: number;
  readonly length: number;
  /** [batch * length], PADDING, TEXT or VISION for each token. */
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

/** The modality of all tokens, where there is but one; padding has none. */
export function onlyModality({ kinds }: TokenLayout): 'vision' | 'text' | undefined {
  const hasVision = kinds.includes(VISION);
  if (hasVision && kinds.includes(TEXT)) return undefined;
  return hasVision ? 'vision' : 'text';
}

/** The columns from `start` to before `end`. */
export function sliceLayout(
  { batch, length, kinds }: TokenLayout,
  start: number,
  end: number,
): TokenLayout {
  return { batch, length: end - start, kinds: sliceColumns(kinds, length, start, end) };
}

/** The columns from `start` to before `end` of rows of `length`, one after another. */
export function sliceColumns<T extends Int32Array | Uint8Array>(
  values: T,
  length: number,
  start: number,
  end: number,
): T {
  return values.filter((_, i) => i % length >= start && i % length < end) as T;
}
