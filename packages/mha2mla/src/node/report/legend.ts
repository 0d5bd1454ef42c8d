import type { LegendComponentOption } from 'echarts';
import { color } from './palette';

/** Left and right of it, in pixels. */
const MARGIN = 16;

/** A legend above the plot, in as many rows as it takes. */
export function legend(names: readonly string[]): LegendComponentOption {
  return {
    ...{ show: names.length > 1, top: 6, left: MARGIN, right: MARGIN },
    ...{ itemWidth: 24, itemGap: 14, silent: true, selectedMode: false },
    data: [...names],
    textStyle: { color: color('ink'), fontSize: 12 },
  };
}

/** Rows that the legend takes, by widths that are rather too large than too small. */
export function legendRows(names: readonly string[], width: number): number {
  if (names.length < 2) return 0;
  let [rows, used] = [1, 0];
  for (const name of names) {
    const own = 24 + 14 + 5 + 7.2 * name.length;
    if (used > 0 && used + own > width - 2 * MARGIN) [rows, used] = [rows + 1, 0];
    used += own;
  }
  return rows;
}
