/**
 * Fit static scales to a sample of the vectors that a cache will hold: per channel the range of least
 * squared error, clipped where that pays. With bands, the bits are shared among the channels by what
 * each width would cost them (reverse water-filling over measured errors).
 */
import type { ChannelBand, StaticSpec } from './static-spec';

/** Options of `fitStatic`. */
export interface FitStaticOptions {
  /** Bits a channel; with `bands` their mean, which need not be whole. */
  bits: number;
  /** Give the first channels 8 bits, the next 4, 2 and none, as their errors are worth. Default false. */
  bands?: boolean;
  /** What a squared error of each channel costs, [heads * channels]. Default 1. */
  costs?: ArrayLike<number>;
  /** Vectors of heads that each have scales of their own, one after another. Default 1. */
  heads?: number;
}

type Bits = ChannelBand['bits'];

/** Of the bands, in their order. */
const WIDTHS: readonly Bits[] = [8, 4, 2, 0];

/** Shares of the range that are tried, in steps of 6 %, down to a quarter. */
const SHARES = Array.from({ length: 24 }, (_, i) => 0.94 ** i);

/**
 * @param samples [n, heads, channels] or [n, channels], n from 1, finite.
 * @param channels of a vector. With bands they should come in descending importance, as those of a
 * factorisation do: the widths fall from the first to the last.
 * @returns the spec. Bands take no more words a vector than one width of `bits` would.
 * @throws RangeError for samples, bits, costs or heads that do not fit.
 */
export function fitStatic(
  samples: Float32Array,
  channels: number,
  { bits, bands = false, costs, heads = 1 }: FitStaticOptions,
): StaticSpec {
  const row = heads * channels;
  const rows = samples.length / row;
  if (!(row > 0 && Number.isSafeInteger(rows) && rows > 0) || !samples.every(Number.isFinite)) {
    throw new RangeError(
      `fitStatic: samples must be finite vectors of ${heads} x ${channels} channels, at least one, got ${samples.length} values.`,
    );
  }
  if (costs && costs.length !== row) {
    throw new RangeError(`fitStatic: costs must be ${row} values, got ${costs.length}.`);
  }
  if (bands ? !(bits > 0 && bits <= 8) : ![2, 3, 4, 8].includes(bits)) {
    throw new RangeError(
      `fitStatic: bits must be ${bands ? 'above 0, at most 8' : 'one of 2, 3, 4, 8'}, got ${bits}.`,
    );
  }
  const columns = Array.from({ length: row }, (_, c) =>
    Float32Array.from({ length: rows }, (_, i) => samples[i * row + c]!),
  );
  const fitted = new Map(
    (bands ? WIDTHS : [bits as Bits]).map((own) => [
      own,
      columns.map((column) => fitChannel(column, own)),
    ]),
  );
  const found = bands
    ? shareBits(channels, bits, (own, c) => {
        let sum = 0;
        for (let at = c; at < row; at += channels) {
          sum += fitted.get(own)![at]!.error * (costs?.[at] ?? 1);
        }
        return sum;
      })
    : [{ bits: bits as Bits, channels }];
  const widths = found.flatMap((band) => new Array<Bits>(band.channels).fill(band.bits));
  const chosen = columns.map((_, at) => fitted.get(widths[at % channels]!)![at]!);
  return {
    method: 'static',
    bands: found,
    scales: Float32Array.from(chosen, ({ scale }) => scale),
    zeros: Float32Array.from(chosen, ({ zero }) => zero),
  };
}

interface ChannelFit {
  scale: number;
  zero: number;
  /** Sum of squared errors. */
  error: number;
}

/** The range about the mean, as lopsided as the values are, whose levels lie closest to them. */
function fitChannel(values: Float32Array, bits: Bits): ChannelFit {
  let [sum, min, max] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    sum += value;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  const mean = sum / values.length;
  const levels = 2 ** bits - 1;
  let best: ChannelFit | undefined;
  for (const share of levels > 0 && max > min ? SHARES : [0]) {
    const zero = Math.fround(mean + share * (min - mean));
    // A channel that never moved keeps its value, and any step.
    const scale = Math.fround((share * (max - min)) / levels) || 1;
    let error = 0;
    for (const value of values) {
      const code = Math.min(Math.max(Math.round((value - zero) / scale), 0), levels);
      error += (value - (code * scale + zero)) ** 2;
    }
    if (!best || error < best.error) best = { scale, zero, error };
  }
  return best!;
}

/**
 * The bands of least error within the words that one width of `bits` takes. Widths fall along the
 * channels and change where words are full, so that three borders say all.
 * @param errorOf a width in a channel.
 */
function shareBits(
  channels: number,
  bits: number,
  errorOf: (bits: Bits, channel: number) => number,
): ChannelBand[] {
  const sums = WIDTHS.map((own) => {
    const sum = new Float64Array(channels + 1);
    for (let c = 0; c < channels; c++) sum[c + 1] = sum[c]! + errorOf(own, c);
    return sum;
  });
  const words = Math.ceil((channels * bits) / 32);
  let least = Number.POSITIVE_INFINITY;
  let best: number[] = [];
  for (let wide = 0; wide <= words; wide++) {
    for (let middle = 0; wide + middle <= words; middle++) {
      // Two bits are better than none: they take what is left.
      const ends = [4 * wide, 8 * middle, 16 * (words - wide - middle), channels];
      let [end, error] = [0, 0];
      for (const [i, count] of ends.entries()) {
        const from = end;
        end = Math.min(from + count, channels);
        error += sums[i]![end]! - sums[i]![from]!;
        ends[i] = end;
      }
      if (error < least) [least, best] = [error, ends];
    }
  }
  return best
    .map((end, i) => ({ bits: WIDTHS[i]!, channels: end - (best[i - 1] ?? 0) }))
    .filter((band) => band.channels > 0);
}
