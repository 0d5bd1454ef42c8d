/**
 * Widths of one layer's attention on the device, and where its cache lies: one flat buffer of 32-bit
 * words, of one row. Each segment stores latents [groups, capacity, words] and keys [vectors,
 * capacity, words] as the cache does, with the words of their params apart, and has a tail of the
 * newest tokens in f32, latents [groups, tail, width] and keys [vectors, tail, width]. Values are
 * latents of a group a KV head that no projection expands.
 */
import type { AttentionForm } from './attention-form';
import { formKey, paramWords, storedWords, tableWords, type VectorForm } from './vector-form';

/** Widths of the heads and of what they share. */
export interface HeadWidths {
  caches: AttentionForm['caches'];
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
  /** How a group's latent and a vector of keys are stored, per segment. */
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
  /** Scales, then zero points of latents that all tokens share. */
  latentTables: number[];
  keys: number[];
  keyParams: number[];
  tailLatents: number[];
  tailKeys: number[];
  size: number;
}

export function latentLayout(shape: LatentShape, room: LatentRoom): LatentLayout {
  const { groups, widths, latentForms, keyForms } = shape;
  let size = 0;
  const place = (tokens: readonly number[], words: (m: number) => number) =>
    tokens.map((count, m) => {
      const start = size;
      size += count * words(m);
      return start;
    });
  const ofKeys = (m: number, words: (form: VectorForm, width: number) => number) => {
    const { count, width } = keyVectors(shape, m);
    return count * words(keyForms[m]!, width);
  };
  const { capacities, tails } = room;
  const layout = {
    latents: place(capacities, (m) => groups * storedWords(latentForms[m]!, widths[m]!)),
    latentParams: place(capacities, (m) => groups * paramWords(latentForms[m]!, widths[m]!)),
    latentTables: place(
      capacities.map(() => 1),
      (m) => tableWords(latentForms[m]!),
    ),
    keys: place(capacities, (m) => ofKeys(m, storedWords)),
    keyParams: place(capacities, (m) => ofKeys(m, paramWords)),
    tailLatents: place(tails, (m) => groups * widths[m]!),
    tailKeys: place(tails, () => shape.keyHeads * keyDim(shape)),
  };
  return { ...layout, size };
}

/** Dims of a head's key beside its latent, which holds those that are not turned. */
export function keyDim({ caches, ropeDim, nopeDim }: HeadWidths): number {
  return caches === 'latents' ? ropeDim : ropeDim + nopeDim;
}

/** Vectors of a token's keys in a segment: one a head, or side by side as packed ones of latents. */
export function keyVectors(shape: LatentShape, m: number): { count: number; width: number } {
  const { caches, keyHeads, keyForms } = shape;
  const byHead = caches === 'values' || keyForms[m]!.method === 'f32';
  const count = byHead ? keyHeads : 1;
  return { count, width: (keyHeads * keyDim(shape)) / count };
}

/**
 * What a token's projections give, [N * R | N * P | K * R | of values K * P | groups * width of the
 * last segment].
 */
export function projectedSize(shape: HeadWidths): number {
  const { heads, keyHeads, groups, ropeDim, nopeDim, widths } = shape;
  return heads * (ropeDim + nopeDim) + keyHeads * keyDim(shape) + groups * widths.at(-1)!;
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
 * Elements of the query, [a of each segment, of latents: N, width | against keys: N, keyDim | bias: N,
 * segments], all of them scaled.
 */
export function queryLayout(shape: HeadWidths) {
  const { caches, heads, widths } = shape;
  let size = 0;
  const place = (count: number) => {
    size += count;
    return size - count;
  };
  const absorbed = widths.map((width) => place(caches === 'latents' ? heads * width : 0));
  const key = place(heads * keyDim(shape));
  const bias = place(heads * widths.length);
  return { absorbed, key, bias, size };
}

/** The sizes that a source depends on, as a part of its key. */
export function latentKey(shape: HeadWidths): string {
  const { caches, heads, keyHeads, groups, ropeDim, nopeDim, valueDim, widths } = shape;
  return [caches, heads, keyHeads, groups, ropeDim, nopeDim, valueDim, ...widths].join(' ');
}

/** The same of a source that reads or writes the cache. */
export function storedKey(shape: LatentShape): string {
  const forms = [...shape.latentForms, ...shape.keyForms].map(formKey);
  return [latentKey(shape), shape.tail, ...shape.biasApart, ...forms].join(' ');
}
