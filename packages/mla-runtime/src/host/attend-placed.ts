/** Decode attention in one pass over cached vectors that lie in the memory of a {@link HostModule}. */
import type { AttendCall, HostModule } from './host-module';

/** Bytes of a value. */
export const VALUE = 4;
/** Most tokens of a tile, as `native/src/attend.rs` has it, which is the scratch of a row. */
export const TILE = 64;

/** Some tokens' vectors [B, parts, capacity, W], of which the first `tokens` are there. */
export interface PlacedBlock {
  at: number;
  tokens: number;
  capacity: number;
}

/** Vectors in blocks, in the order of tokens. */
export interface PlacedVectors {
  parts: number;
  /** W. */
  width: number;
  blocks: readonly PlacedBlock[];
}

export function tokensOf({ blocks }: PlacedVectors): number {
  return blocks.reduce((sum, { tokens }) => sum + tokens, 0);
}

/** One segment of a cache and what attends to it, by address. */
export interface PlacedSegment {
  /** Vectors that are summed, those of a group of heads; scored too by `query` [B, N, W], unless that is 0. */
  values: PlacedVectors;
  query: number;
  /** Keys of their own, as many tokens, a whole number of parts a group of `values`. */
  keys: PlacedVectors;
  /** [B, N, W of the keys]. */
  turned: number;
  /** Added to the scores of a head, [B, N]; 0: nothing. */
  bias: number;
  /** Added to scores, [B, rows, T of the segment], rows being repeated up to N; at 0: nothing. */
  offset: { at: number; rows: number };
}

/** What there is of all segments. */
export interface PlacedAttention {
  batch: number;
  /** N. */
  heads: number;
  segments: readonly PlacedSegment[];
  /**
   * How many parts the tokens are cut into, to be attended to side by side. Their results come one
   * after another, and are joined in the first.
   */
  parts: number;
  /** Results of a segment, [parts, B, N, W of the values] and [parts, B, N]. */
  results: readonly { sums: number; masses: number }[];
  /** [segments, parts, B, N]. */
  largest: number;
  /** [parts, N * TILE]. */
  scratch: number;
}

/** Values of `scratch`. */
export function scratchSize({ parts, heads }: Pick<PlacedAttention, 'parts' | 'heads'>): number {
  return parts * heads * TILE;
}

/**
 * Softmax over all segments' tokens; of each segment the sums that its tokens take part with, and their
 * share of the weights.
 * @param run makes the calls of each part; those of a part one after another.
 */
export function attendPlaced(
  module: HostModule,
  attention: PlacedAttention,
  run: (calls: readonly AttendCall[][]) => void,
): void {
  const { batch, heads, parts, segments, results, largest } = attention;
  const count = batch * heads;
  const values = (at: number, length: number) => new Float32Array(module.memory.buffer, at, length);
  values(largest, segments.length * parts * count).fill(Number.NEGATIVE_INFINITY);
  for (const [m, { sums, masses }] of results.entries()) {
    values(sums, parts * count * segments[m]!.values.width).fill(0);
    values(masses, parts * count).fill(0);
  }
  run(Array.from({ length: parts }, (_, part) => callsOf(attention, part)));
  const states = results.map(({ masses }, m) => ({
    tops: values(largest + m * parts * count * VALUE, parts * count),
    masses: values(masses, parts * count),
  }));
  for (let row = 0; row < count; row++) shareOut(states, row, count);
  for (const [m, { sums }] of results.entries()) {
    const { width } = segments[m]!.values;
    const factors = (part: number) => largest + (m * parts + part) * count * VALUE;
    module.scale(count, width, sums, factors(0));
    for (let part = 1; part < parts; part++) {
      module.add_scaled(count, width, sums + part * count * width * VALUE, factors(part), sums);
    }
  }
}

interface SegmentState {
  /** [parts, count], largest scores; then the factors of the sums. */
  tops: Float32Array;
  /** [parts, count], weights by the largest score; then the first part has the segment's share. */
  masses: Float32Array;
}

/** Of a row, over all parts of all segments. */
function shareOut(states: readonly SegmentState[], row: number, count: number): void {
  let top = Number.NEGATIVE_INFINITY;
  let total = 0;
  for (const { tops } of states) {
    for (let i = row; i < tops.length; i += count) top = Math.max(top, tops[i]!);
  }
  for (const { tops, masses } of states) {
    for (let i = row; i < tops.length; i += count) {
      tops[i] = Math.exp(tops[i]! - top);
      total += tops[i]! * masses[i]!;
    }
  }
  for (const { tops, masses } of states) {
    let share = 0;
    for (let i = row; i < tops.length; i += count) {
      tops[i]! /= total;
      share += tops[i]! * masses[i]!;
    }
    masses[row] = share;
  }
}

/** Calls that attend to a part of the tokens of all segments. */
function callsOf(attention: PlacedAttention, part: number): AttendCall[] {
  const { batch, heads, parts, segments, results, largest } = attention;
  const count = batch * heads;
  const scratch = attention.scratch + (scratchSize(attention) / parts) * part * VALUE;
  return segments.flatMap((segment, m) => {
    const { values, query, keys, turned, bias, offset } = segment;
    const { sums, masses } = results[m]!;
    const rows = heads / values.parts;
    const perGroup = keys.parts / values.parts;
    const tokens = tokensOf(values);
    const tiles = tokens / TILE;
    const [begin, end] = [part, part + 1].map((i) =>
      i === parts ? tokens : Math.floor((tiles * i) / parts) * TILE,
    );
    const runs = jointRuns(values.blocks, keys.blocks, begin!, end!);
    const calls: AttendCall[] = [];
    for (let row = 0; row < batch; row++) {
      const vectorsOf = ({ block, from }: Run, { parts, width }: PlacedVectors, own: number) =>
        block.at + VALUE * width * ((row * parts + own) * block.capacity + from);
      for (let group = 0; group < values.parts; group++) {
        const head = group * rows;
        const first = row * heads + head;
        const result = part * count + first;
        for (const { first: token, count: length, value, key } of runs) {
          const vectors = vectorsOf(value, values, group);
          calls.push([
            rows,
            length,
            query === 0 ? 0 : values.width,
            query + VALUE * first * values.width,
            vectors,
            perGroup,
            keys.width,
            turned + VALUE * first * keys.width,
            vectorsOf(key, keys, group * perGroup),
            key.block.capacity * keys.width,
            values.width,
            vectors,
            bias === 0 ? 0 : bias + VALUE * first,
            offset.at === 0 ? 0 : offset.at + VALUE * (row * offset.rows * tokens + token),
            head % offset.rows,
            offset.rows,
            tokens,
            largest + VALUE * (m * parts * count + result),
            masses + VALUE * result,
            sums + VALUE * result * values.width,
            scratch,
          ]);
        }
      }
    }
    return calls;
  });
}

/** Tokens from one on of a block. */
interface Run {
  block: PlacedBlock;
  from: number;
}

/** The tokens from `begin` to before `end` in runs whose values lie in one block, and their keys in one. */
function jointRuns(
  values: readonly PlacedBlock[],
  keys: readonly PlacedBlock[],
  begin: number,
  end: number,
) {
  const runs: { first: number; count: number; value: Run; key: Run }[] = [];
  const [inValues, inKeys] = [values, keys].map((blocks) => placesOf(blocks));
  for (let first = begin; first < end; ) {
    const [value, key] = [inValues!(first), inKeys!(first)];
    const left = ({ block, from }: Run) => block.tokens - from;
    const count = Math.min(left(value), left(key), end - first);
    runs.push({ first, count, value, key });
    first += count;
  }
  return runs;
}

/** Where tokens lie, which are asked for in order. */
function placesOf(blocks: readonly PlacedBlock[]): (token: number) => Run {
  let [index, start] = [0, 0];
  return (token) => {
    while (token - start >= blocks[index]!.tokens) start += blocks[index++]!.tokens;
    return { block: blocks[index]!, from: token - start };
  };
}
