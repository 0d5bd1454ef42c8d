/** The tokens that speed is measured on: random ones, of both modalities in runs as pictures make them. */
import { seededRandom, TEXT, type TokenLayout, VISION } from '@mha2mla/mla-runtime';

export interface SpeedTrace {
  ids: Int32Array;
  kinds: Uint8Array;
}

/** Tokens of a run of both: what a picture and the words about it have. */
const RUN = 256;

/** @param options.vision share of vision tokens, which begin each run. */
export function speedTrace(
  length: number,
  { vocabSize, vision, seed }: { vocabSize: number; vision: number; seed: number },
): SpeedTrace {
  const random = seededRandom(seed);
  return {
    ids: Int32Array.from({ length }, () => Math.floor(random() * vocabSize)),
    kinds: Uint8Array.from({ length }, (_, i) => (i % RUN < vision * RUN ? VISION : TEXT)),
  };
}

/** The layout of its tokens from `start` to `end`, in one row. */
export function traceLayout({ kinds }: SpeedTrace, start: number, end: number): TokenLayout {
  return { batch: 1, length: end - start, kinds: kinds.slice(start, end) };
}
