import type { SampleSettings } from './sample-settings';

/** The value of each of the 256 grey levels in a channel, with numpy's float32 steps. */
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
  return table;
}
