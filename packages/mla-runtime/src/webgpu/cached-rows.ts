/** What each row of a cache holds, which a recorded step copies and makes room for. */
import { PackedTensor } from '@mha2mla/kv-quant';
import type { Segment } from '../attention/attention';
import type { DecoderCache } from '../cache/decoder-cache';
import { storedParts } from '../cache/layer-cache';
import type { LatentRoom } from './latent-shape';
import { filledSlots, type SlotRun, slotRuns } from './slot-runs';

/** What there is of one row, per segment. */
export interface CachedRow {
  lengths: readonly number[];
  /** Tokens that are stored in the form of the cache. */
  stored: readonly number[];
  /** Sequence positions of the last segment's slots; negative where one is empty. */
  positions: readonly number[];
}

export interface CachedRows {
  rows: CachedRow[];
  /** Of the filled slots, per segment. */
  runs: SlotRun[][];
  /** Slots of the last segment. */
  slots: number;
  /** Slots that are stored in the form of the cache, per segment. */
  storedSlots: number[];
}

export function cachedRows(cache: DecoderCache, segments: readonly Segment[]): CachedRows {
  const tables = segments.map((segment) => cache.slotTable(segment));
  const last = tables.length - 1;
  const storedSlots = segments.map(
    (segment, m) => storedTokens(cache, segment) ?? tables[m]!.length,
  );
  const lengths = tables.map((table) => filledSlots(table, table.length));
  const stored = tables.map((table, m) => filledSlots(table, storedSlots[m]!));
  const rows = Array.from({ length: cache.batch }, (_, row) => ({
    lengths: lengths.map((own) => own[row]!),
    stored: stored.map((own) => own[row]!),
    positions: [...tables[last]!.positions(row)],
  }));
  const runs = tables.map((table, m) => slotRuns(table, storedSlots[m]!));
  return { rows, runs, slots: tables[last]!.length, storedSlots };
}

/** Room for the longest row of each segment, and for tokens that come to the last. */
export function roomFor(
  rows: readonly CachedRow[],
  maxTokens: number,
  hasTail: boolean,
): LatentRoom {
  const last = rows[0]!.lengths.length - 1;
  const most = (count: (row: CachedRow) => number) => Math.max(...rows.map(count));
  const perSegment = (count: (row: CachedRow, m: number) => number) =>
    rows[0]!.lengths.map((_, m) => most((row) => count(row, m)) + (m === last ? maxTokens : 0));
  return {
    capacities: perSegment(({ lengths, stored }, m) => (m === last ? lengths[m]! : stored[m]!)),
    tails: hasTail
      ? perSegment(({ lengths, stored }, m) => lengths[m]! - stored[m]!)
      : rows[0]!.lengths.map(() => 0),
  };
}

/** Slots of a segment that are codes, in all layers alike; `undefined` where no part has codes. */
function storedTokens(cache: DecoderCache, segment: Segment): number | undefined {
  const coded = cache.layers
    .flatMap((layer) => layer.partsOf(segment))
    .filter(({ exact }) => !exact)
    .map((vectors) =>
      storedParts(vectors).reduce(
        (sum, part) => sum + (part instanceof PackedTensor ? part.shape.at(-2)! : 0),
        0,
      ),
    );
  return coded[0];
}
