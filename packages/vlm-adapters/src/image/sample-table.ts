import type { SampleSettings } from './sample-settings';

/**
 * The value of each of the 256 grey levels in a channel, with numpy's float32 steps.
 * @throws RangeError where one is not finite: settings that are finite may leave float32, and a
 *   positive deviation may be 0 in it
 */
export function sampleTable(
  { rescaleFactor, normalize }: SampleSettings,
  channel: number,
): Float32Array {
  const table = new Float32Array(256);
  for (let level = 0; level < 256; level++) {
    let value = Math.fround(rescaleFactor === undefined ? level : level * rescaleFactor);
    if (normalize) {
      const centred = Math.fround(value - Math.fround(normalize.mean[channel]!));
      value = centred / Math.fround(normalize.std[channel]!);
    }
    table[level] = value;
  }
  const level = table.findIndex((value) => !Number.isFinite(value));
  if (level < 0) return table;
  throw new RangeError(
    `sampleTable: rescale_factor, image_mean and image_std must give each grey level a finite value, got ${table[level]} for level ${level} of channel ${channel}.`,
  );
}
