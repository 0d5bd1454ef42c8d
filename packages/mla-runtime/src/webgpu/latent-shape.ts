/**
 * Widths of one layer's latent attention on the device, and where its cache lies: one flat buffer of
 * f32, of one row, [latents of each segment | rotated keys of each segment], where
 *   latents of segment m: [groups, capacity m, width m], keys: [capacity m, K, R].
 */

export interface LatentShape {
  heads: number;
  keyHeads: number;
  groups: number;
  ropeDim: number;
  nopeDim: number;
  valueDim: number;
  /** Of a group's latent, per segment: one, or vision and text. New tokens go to the last. */
  widths: readonly number[];
  /** Tokens that each segment has room for. */
  capacities: readonly number[];
}

export interface LatentLayout {
  /** First element of each segment's latents and keys. */
  latents: number[];
  keys: number[];
  size: number;
}

export function latentLayout(shape: LatentShape): LatentLayout {
  const { groups, keyHeads, ropeDim, widths, capacities } = shape;
  let size = 0;
  const place = (count: number) => {
    size += count;
    return size - count;
  };
  const latents = capacities.map((capacity, m) => place(groups * capacity * widths[m]!));
  const keys = capacities.map((capacity) => place(capacity * keyHeads * ropeDim));
  return { latents, keys, size };
}

/**
 * Elements of the absorbed query, [a of each segment: N, width | rope: N, R | bias: N, segments], all
 * of them scaled.
 */
export function queryLayout({ heads, ropeDim, widths }: LatentShape) {
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
export function latentKey(shape: LatentShape): string {
  const { heads, keyHeads, groups, ropeDim, nopeDim, valueDim, widths, capacities } = shape;
  return [heads, keyHeads, groups, ropeDim, nopeDim, valueDim, ...widths, '-', ...capacities].join(
    ' ',
  );
}
