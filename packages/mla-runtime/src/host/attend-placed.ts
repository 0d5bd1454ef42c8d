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
  /** Results of a segment, [parts, B, N, W of the values]. */
  sums: readonly number[];
  /** [segments, parts, B, N]; of a segment's first part, the result. */
  masses: number;
  /** As many. */
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
  const { batch, heads, parts, segments, sums, masses, largest } = attention;
  const count = batch * heads;
  const states = segments.length * parts;
  const fill = (at: number, length: number, value: number) =>
    new Float32Array(module.memory.buffer, at, length).fill(value);
  fill(largest, states * count, Number.NEGATIVE_INFINITY);
  fill(masses, states * count, 0);
  run(Array.from({ length: parts }, (_, part) => callsOf(attention, part)));
  module.share(count, states, largest, masses);
  for (const [m, { values }] of segments.entries()) {
    const { width } = values;
    const tokens = tokensOf(values);
    for (let part = 0; part < parts; part++) {
      const isEmpty = startOf(part, parts, tokens) === startOf(part + 1, parts, tokens);
      if (isEmpty) fill(sums[m]! + VALUE * part * count * width, count * width, 0);
    }
    const own = VALUE * m * parts * count;
    module.join(count, parts, width, largest + own, masses + own, sums[m]!);
  }
}

/** Calls that attend to a part of the tokens of all segments. */
function callsOf(attention: PlacedAttention, part: number): AttendCall[] {
  const { batch, heads, parts, segments, sums, masses, largest } = attention;
  const count = batch * heads;
  const scratch = attention.scratch + (scratchSize(attention) / parts) * part * VALUE;
  return segments.flatMap((segment, m) => {
    const { values, query, keys, turned, bias, offset } = segment;
    const rows = heads / values.parts;
    const perGroup = keys.parts / values.parts;
    const tokens = tokensOf(values);
    const [begin, end] = [part, part + 1].map((i) => startOf(i, parts, tokens));
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
          const state = VALUE * (m * parts * count + result);
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
            largest + state,
            masses + state,
            sums[m]! + VALUE * result * values.width,
            scratch,
          ]);
        }
      }
    }
    return calls;
  });
}

/**
 * The first token of a part; all parts but the last end with a tile. Each is larger than the one before:
 * threads take the last first, and with small ones at the end are done at nearly one time.
 */
function startOf(part: number, parts: number, tokens: number): number {
  if (part === parts) return tokens;
  const share = (part * (part + 1)) / (parts * (parts + 1));
  return Math.floor((tokens / TILE) * share) * TILE;
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
