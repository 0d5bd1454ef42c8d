/**
 * An axis of a plot over plain numbers. Logarithmic scales are drawn over logarithms that the
 * caller took, with ticks where it wants them, so that zeros and odd ranges are its own decision.
 */
import { color } from './palette';

export interface ValueAxis {
  name: string;
  min: number;
  max: number;
  ticks: number[];
  format: (value: number) => string;
  /** Lines across the plot at the ticks. */
  lines?: boolean;
  /** Of the name from the axis, in pixels. */
  nameGap?: number;
}

export function valueAxis({ name, min, max, ticks, format, lines, nameGap = 30 }: ValueAxis) {
  return {
    type: 'value' as const,
    ...{ name, min, max, nameGap, silent: true },
    nameLocation: 'middle' as const,
    nameTextStyle: { color: color('muted'), fontSize: 12 },
    axisLine: { show: true, onZero: false, lineStyle: { color: color('muted') } },
    axisTick: { show: true, customValues: ticks, lineStyle: { color: color('muted') } },
    axisLabel: { customValues: ticks, formatter: format, color: color('muted'), fontSize: 12 },
    splitLine: { show: false, ...(lines && { show: true, lineStyle: { color: color('grid') } }) },
  };
}

/** About `count` round values that span [from, to], from the last below to the first above. */
export function roundTicks(from: number, to: number, count = 5): number[] {
  const span = to - from > 0 ? to - from : Math.abs(from) || 1;
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= raw) ?? 10);
  const first = Math.floor(from / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(to / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * step).toPrecision(12)),
  );
}

/** Logarithms of 1, 2 and 5 times powers of ten, or fewer, from the last below to the first above. */
export function logTicks(from: number, to: number): number[] {
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const powers = Array.from({ length: Math.ceil(to) - Math.floor(from) + 1 }, (_, i) => i);
    const all = powers.flatMap((power) =>
      factors.map((factor) => Math.floor(from) + power + Math.log10(factor)),
    );
    const first = all.filter((tick) => tick <= from + 1e-9).length - 1;
    const last = all.findIndex((tick) => tick >= to - 1e-9);
    const ticks = all.slice(
      Math.max(0, first),
      last < 0 ? undefined : Math.max(last, first + 1) + 1,
    );
    if (ticks.length <= 8) return ticks;
  }
  return roundTicks(from, to);
}

/** Ascending values of `wanted` of which no two are closer than `gap`; the first ones asked for win. */
export function apart(wanted: readonly number[], gap: number): number[] {
  const kept: number[] = [];
  for (const value of wanted) {
    if (kept.every((other) => Math.abs(other - value) >= gap)) kept.push(value);
  }
  return kept.sort((a, b) => a - b);
}
