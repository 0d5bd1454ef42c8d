/** Decode attention over vectors in memory of ours, in one pass and on all threads. */
import * as tf from '@tensorflow/tfjs-core';
import type { ArenaVectors } from '../cache/arena-vectors';
import {
  attendPlaced,
  type PlacedSegment,
  scratchSize,
  tokensOf,
  VALUE,
} from '../host/attend-placed';
import { HostThreads } from '../host/host-threads';
import type { AttendedSegment, SegmentSums } from '../kernels/attend-on-wasm';
import type { ArenaWeights } from './arena-weights';

/** Products of a part at least: below two of them waking threads costs more than they save. */
const PART_PRODUCTS = 2 ** 19;
/** Most values of the sums of all parts, where these are more than two: many queries have many. */
const MOST_SUMS = 2 ** 24;

/** {@link AttendedSegment} in arrays, without the axes of groups. */
interface ArenaSegment {
  values: ArenaVectors;
  keys: ArenaVectors;
  query?: Float32Array | undefined;
  turned: Float32Array;
  bias?: Float32Array | undefined;
  offset?: tf.Tensor | undefined;
}

/** What a segment's tokens give to the result. */
interface ArenaSums {
  /** [B, N, W]. */
  sums: Float32Array;
  /** [B, N]. */
  masses: Float32Array;
}

let threads: HostThreads | undefined | 'none';

/**
 * @param heads N.
 * @returns per segment; the caller disposes them.
 */
export function attendInArena(
  segments: readonly AttendedSegment<ArenaVectors>[],
  heads: number,
): SegmentSums[] {
  const attended = attend(
    segments.map(({ query, turned, bias, ...segment }) => ({
      ...segment,
      query: query && read(query),
      turned: turned ? read(turned) : new Float32Array(),
      bias: bias && read(bias),
    })),
    heads,
  );
  return attended.map(({ sums, masses }, m) => {
    const { batch, placed } = segments[m]!.values;
    const tensor = (values: Float32Array, width: number) =>
      tf.tensor4d(values, [batch, placed.parts, heads / placed.parts, width]);
    return { sums: tensor(sums, placed.width), masses: () => tensor(masses, 1) };
  });
}

/** Latents of a segment and their projections. */
export interface ArenaLatents {
  /** [B, groups, T, C / groups]. */
  latents: ArenaVectors;
  /** [B, K, T, R]. */
  keys: ArenaVectors;
  offset: tf.Tensor | undefined;
  weights: ArenaWeights;
}

/**
 * Absorbed decode.
 * @param queryNope [B, K, G, P], scaled; with L queries a row G is G * L.
 * @param queryRope [B, K, G, R], rotated and scaled.
 * @param segments one or more, none of them empty.
 * @returns [B, N, V]; the caller disposes it.
 */
export function absorbedInArena(
  queryNope: tf.Tensor4D,
  queryRope: tf.Tensor4D,
  segments: readonly ArenaLatents[],
  valueDim: number,
): tf.Tensor3D {
  const [batch, keyHeads, perKey] = queryNope.shape;
  const heads = keyHeads * perKey;
  const [nope, turned] = [read(queryNope), read(queryRope)];
  const attended = attend(
    segments.map(({ latents, keys, offset, weights }) => ({
      ...{ values: latents, keys, turned, offset },
      ...weights.absorb(nope, batch),
    })),
    heads,
  );
  const output = new Float32Array(batch * heads * valueDim);
  for (const [m, { sums, masses }] of attended.entries()) {
    segments[m]!.weights.expand(sums, masses, output, batch);
  }
  return tf.tensor3d(output, [batch, heads, valueDim]);
}

function attend(segments: readonly ArenaSegment[], heads: number): ArenaSums[] {
  const { batch, arena } = segments[0]!.values;
  const addresses: number[] = [];
  const allocate = (count: number) => {
    const at = arena.allocate(VALUE * count);
    addresses.push(at);
    return at;
  };
  const place = (values: Float32Array | undefined) => {
    if (!values || values.length === 0) return 0;
    const at = allocate(values.length);
    arena.values(at, values.length).set(values);
    return at;
  };
  try {
    const placed = segments.map(({ values, keys, query, turned, bias, offset }) => ({
      ...{ values: values.placed, query: place(query), keys: keys.placed, turned: place(turned) },
      bias: place(bias),
      offset: {
        at: place(offset && read(offset)),
        rows: offset?.shape.slice(1, -1).reduce((a, b) => a * b) ?? 1,
      },
    }));
    const wanted = Math.floor(products(placed, batch * heads) / PART_PRODUCTS);
    const pool = wanted < 2 ? undefined : openThreads();
    const count = batch * heads;
    const widest = Math.max(...placed.map(({ values: { width } }) => width));
    const most = Math.max(2, Math.floor(MOST_SUMS / (count * widest)));
    const parts = pool ? Math.min(wanted, pool.mostLists, most) : 1;
    const sums = placed.map(({ values: { width } }) => allocate(parts * count * width));
    const masses = allocate(segments.length * parts * count);
    const largest = allocate(segments.length * parts * count);
    const scratch = allocate(scratchSize({ parts, heads }));
    attendPlaced(
      arena.module,
      { batch, heads, segments: placed, parts, sums, masses, largest, scratch },
      (calls) => {
        if (pool) pool.run(arena, calls);
        else for (const call of calls[0]!) arena.module.attend(...call);
      },
    );
    return placed.map(({ values: { width } }, m) => ({
      sums: arena.values(sums[m]!, count * width).slice(),
      masses: arena.values(masses + VALUE * m * parts * count, count).slice(),
    }));
  } finally {
    for (const at of addresses) arena.release(at);
  }
}

/** Multiplications of the scores and the sums of some rows. */
function products(segments: readonly PlacedSegment[], rows: number): number {
  return segments.reduce((sum, { values, keys, query }) => {
    const widths = (query === 0 ? 1 : 2) * values.width + keys.width;
    return sum + rows * tokensOf(values) * widths;
  }, 0);
}

function read(x: tf.Tensor): Float32Array {
  return x.dataSync() as Float32Array;
}

function openThreads(): HostThreads | undefined {
  threads ??= HostThreads.open() ?? 'none';
  return threads === 'none' ? undefined : threads;
}
