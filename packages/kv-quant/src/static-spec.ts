/** Scales that do not come from the vectors themselves, and channels of several widths. */
import type { ResolvedSpec } from './quant-spec';

/** A run of channels whose codes have one width; of 0 bits nothing is stored, and zero points come back. */
export interface ChannelBand {
  bits: 0 | 2 | 3 | 4 | 8;
  channels: number;
}

/** Scales and zero points that are fixed beforehand, so that codes alone are stored. */
export interface StaticSpec {
  method: 'static';
  /** In the order of the channels, together all of them. */
  bands: readonly ChannelBand[];
  /** Step of a channel's codes, above 0: [C], or [heads, C] for vectors [..., heads, T, C]. */
  scales: Float32Array;
  /** Value of a channel's code 0, as `scales`. */
  zeros: Float32Array;
}

const BITS: readonly number[] = [0, 2, 3, 4, 8];

/**
 * Check a table.
 * @param channels of a vector; `undefined` while they are not known.
 * @throws RangeError for bands, scales or zero points that do not fit.
 */
export function resolveStatic(
  caller: string,
  table: StaticSpec,
  channels: number | undefined,
): ResolvedSpec {
  const { bands, scales, zeros } = table;
  const bad = bands.find(
    ({ bits, channels: count }) =>
      !BITS.includes(bits) || !Number.isSafeInteger(count) || count < 1,
  );
  if (bad) {
    throw new RangeError(
      `${caller}: bands of static must have bits of ${BITS.join(', ')} and channels from 1, got bits=${bad.bits}, channels=${bad.channels}.`,
    );
  }
  const width = bands.reduce((sum, band) => sum + band.channels, 0);
  if (width === 0 || (channels !== undefined && channels !== width)) {
    throw new RangeError(
      `${caller}: bands of static must be of all ${channels ?? ''} channels, got ${width}.`,
    );
  }
  const fits = scales.length > 0 && scales.length % width === 0 && zeros.length === scales.length;
  const finite = scales.every(Number.isFinite) && zeros.every(Number.isFinite);
  if (!fits || !finite || !scales.every((scale) => scale > 0)) {
    throw new RangeError(
      `${caller}: scales and zeros of static must be ${width} finite values each, or as many for each head, and scales above 0, got ${scales.length} and ${zeros.length}.`,
    );
  }
  const bits = Math.max(...bands.map((band) => band.bits)) as ChannelBand['bits'];
  return { method: 'static', bits, axis: 'token', groupSize: 0, rotation: 'none', table };
}
