/**
 * Widths of one layer's latent attention on the device, and where its cache lies: one flat buffer of
 * 32-bit words, of one row. Each segment stores latents [groups, capacity, words] and rotated keys
 * [capacity, words] as the cache does, with the words of their params apart, and has a tail of the
 * newest tokens in f32, latents [groups, tail, width] and keys [tail, K * R].
 */
import { formKey, paramWords, storedWords, type VectorForm } from './vector-form';

/** Widths of the heads and of what they share. */
export interface HeadWidths {
  heads: number;
  keyHeads: number;
  groups: number;
  ropeDim: number;
  nopeDim: number;
  valueDim: number;
  /** Of a group's latent, per segment: one, or vision and text. New tokens go to the last. */
  widths: readonly number[];
}

export interface LatentShape extends HeadWidths {
  /** How a group's latent and the keys of all heads are stored, per segment. */
  latentForms: readonly VectorForm[];
  keyForms: readonly VectorForm[];
  /** Whether keys are stored without their bias, which then counts by the slot, per segment. */
  biasApart: readonly boolean[];
  /**
   * What tails are for. `none`: there are none, a new token is stored at once. `kept`: a new token is
   * stored at once, and kept exact to be given back. `window`: the newest tokens are exact, and
   * stored once they are no more among those.
   */
  tail: 'none' | 'kept' | 'window';
}

/** How many tokens a recorded cache has room for, per segment. */
export interface LatentRoom {
  /** Tokens that are stored. */
  capacities: readonly number[];
  /** Tokens of the tails. */
  tails: readonly number[];
}

/** First word of each part, per segment. */
export interface LatentLayout {
  latents: number[];
  latentParams: number[];
  keys: number[];
  keyParams: number[];
  tailLatents: number[];
  tailKeys: number[];
  size: number;
}

export function latentLayout(shape: LatentShape, room: LatentRoom): LatentLayout {
  const { groups, keyHeads, ropeDim, widths, latentForms, keyForms } = shape;
  const keyWidth = keyHeads * ropeDim;
  let size = 0;
  const place = (tokens: readonly number[], words: (m: number) => number) =>
    tokens.map((count, m) => {
      const start = size;
      size += count * words(m);
      return start;
    });
  const { capacities, tails } = room;
  const layout = {
    latents: place(capacities, (m) => groups * storedWords(latentForms[m]!, widths[m]!)),
    latentParams: place(capacities, (m) => groups * paramWords(latentForms[m]!, widths[m]!)),
    keys: place(capacities, (m) => storedWords(keyForms[m]!, keyWidth)),
    keyParams: place(capacities, (m) => paramWords(keyForms[m]!, keyWidth)),
    tailLatents: place(tails, (m) => groups * widths[m]!),
    tailKeys: place(tails, () => keyWidth),
  };
  return { ...layout, size };
}

/** What a token's projections give, [N * (R + P) | K * R | groups * width of the last segment]. */
export function projectedSize(shape: HeadWidths): number {
  const { heads, keyHeads, groups, ropeDim, nopeDim, widths } = shape;
  return heads * (ropeDim + nopeDim) + keyHeads * ropeDim + groups * widths.at(-1)!;
}

/** The row of a segment's first slot among those of all segments. */
export function firstSlot({ capacities, tails }: LatentRoom, segment: number): number {
  return segment === 0 ? 0 : capacities[0]! + tails[0]!;
}

/** Slots of all segments. */
export function slotCount(room: LatentRoom): number {
  const last = room.capacities.length - 1;
  return firstSlot(room, last) + room.capacities[last]!;
}

/**
 * Elements of the absorbed query, [a of each segment: N, width | rope: N, R | bias: N, segments], all
 * of them scaled.
 */
export function queryLayout({ heads, ropeDim, widths }: HeadWidths) {
  let size = 0;
  const place = (count: number) => {
    size += count;
    return size - count;
  };
  const absorbed = widths.map((width) => place(heads * width));
  const rope = place(heads * ropeDim);
  const bias = place(heads * widths.length);
  return { absorbed, rope, bias, size };
}

/** The sizes that a source depends on, as a part of its key. */
export function latentKey(shape: HeadWidths): string {
  const { heads, keyHeads, groups, ropeDim, nopeDim, valueDim, widths } = shape;
  return [heads, keyHeads, groups, ropeDim, nopeDim, valueDim, ...widths].join(' ');
}

/** The same of a source that reads or writes the cache. */
export function storedKey(shape: LatentShape): string {
  const forms = [...shape.latentForms, ...shape.keyForms].map(formKey);
  return [latentKey(shape), shape.tail, ...shape.biasApart, ...forms].join(' ');
}
