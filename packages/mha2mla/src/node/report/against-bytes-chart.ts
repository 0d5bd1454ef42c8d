import type { CustomSeriesOption, EChartsOption, LineSeriesOption } from 'echarts';
import { sizeText } from '../../cli/quantities';
import type { BytesSeries, DrawAgainstBytesOptions } from './draw-against-bytes';
import { label } from './escape-html';
import { legend, legendRows } from './legend';
import { bytesText, numberText, percentText } from './number-text';
import { color, seriesColor } from './palette';
import { apart, logTicks, roundTicks, type ValueAxis, valueAxis } from './value-axis';

const SYMBOLS = ['circle', 'rect', 'triangle', 'diamond'];
/** Between series at the same bytes, as a share of the plot's width: intervals stay apart. */
const DODGE = 0.008;
/** Between two labels of an axis, as a share of the plot's width. */
const TICK_GAP = 0.07;

/** The chart of {@link drawAgainstBytes}, whose input has been checked. */
export function againstBytesChart(
  series: readonly BytesSeries[],
  options: DrawAgainstBytesOptions,
  width: number,
): EChartsOption {
  const { bytesUnit = 'percent', valueLabel = 'accuracy', original } = options;
  const names = series.map(({ name }) => label(name));
  const x = bytesAxis(series, bytesUnit, options.bytesLabel);
  const y = valuesAxis(series, options);
  const place = placeOf(options);
  const drawn = series.flatMap((one, index) => {
    const dodge = (index - (series.length - 1) / 2) * DODGE * (x.max - x.min);
    const own = [...one.points]
      .sort((a, b) => a.bytes - b.bytes)
      .map(({ bytes, value, interval = [value, value] }) => [
        Math.log2(bytes) + dodge,
        ...[value, ...interval].map(place),
      ]);
    return [lineOf(names[index]!, index, own), intervalsOf(index, own)];
  });
  return {
    legend: legend(names),
    grid: { left: 68, right: 24, top: 20 + 24 * legendRows(names, width), bottom: 52 },
    xAxis: valueAxis(x),
    yAxis: valueAxis({ ...y, name: label(valueLabel), lines: true, nameGap: 48 }),
    series: original ? [...drawn, levelOf(original, place, series.length)] : drawn,
  };
}

function lineOf(name: string, index: number, data: number[][]): LineSeriesOption {
  return {
    type: 'line',
    ...{
      name,
      data,
      silent: true,

      symbol: SYMBOLS[index % SYMBOLS.length],
      symbolSize: 9,
    },
    itemStyle: { color: seriesColor(index) },
    // The ninth series has the colour of the first.
    lineStyle: { color: seriesColor(index), width: 2, type: index < 8 ? 'solid' : 'dashed' },
  };
}

/** A line from low to high with short ends, [x, value, low, high] each. */
function intervalsOf(index: number, data: number[][]): CustomSeriesOption {
  return {
    type: 'custom',
    ...{ silent: true, z: 1, data: data.filter(([, , low, high]) => low !== high) },
    renderItem: (_, api) => {
      const [x, low] = api.coord([api.value(0), api.value(2)]) as [number, number];
      const high = api.coord([api.value(0), api.value(3)])[1]!;
      const stroke = (x1: number, y1: number, x2: number, y2: number) => ({
        type: 'line' as const,
        shape: { x1, y1, x2, y2 },
        style: { stroke: seriesColor(index), lineWidth: 1.5, opacity: 0.75 },
      });
      const ends = [low, high].map((y) => stroke(x - 3, y, x + 3, y));
      return { type: 'group', children: [stroke(x, low, x, high), ...ends] };
    },
  };
}

function levelOf(
  { name = 'original', value }: NonNullable<DrawAgainstBytesOptions['original']>,
  place: (value: number) => number,
  index: number,
): LineSeriesOption {
  return {
    type: 'line',
    ...{ data: [], silent: true, z: index },
    markLine: {
      ...{ silent: true, symbol: 'none', data: [{ yAxis: place(value) }] },
      lineStyle: { color: color('muted'), type: 'dashed', width: 1.5 },
      label: { formatter: label(name), position: 'insideStartTop', color: color('muted') },
    },
  };
}

function bytesAxis(
  series: readonly BytesSeries[],
  unit: 'percent' | 'bytes',
  name = unit === 'percent' ? "% of the original's cache" : 'cache bytes a token',
): ValueAxis {
  const found = [...new Set(series.flatMap(({ points }) => points.map(({ bytes }) => bytes)))];
  const logs = found.map(Math.log2).sort((a, b) => a - b);
  const pad = Math.max(0.15, 0.05 * (logs.at(-1)! - logs[0]!));
  const [min, max] = [logs[0]! - pad, logs.at(-1)! + pad];
  const percent = unit === 'percent';
  return {
    name: label(name),
    ...{ min, max, ticks: apart(logs, TICK_GAP * (max - min)) },
    format: (log) => (percent ? numberText(2 ** log) : bytesText(2 ** log)),
  };
}

function placeOf({ valueScale = 'linear' }: DrawAgainstBytesOptions): (value: number) => number {
  return valueScale === 'log' ? Math.log10 : (value) => value;
}

function valuesAxis(
  series: readonly BytesSeries[],
  options: DrawAgainstBytesOptions,
): Omit<ValueAxis, 'name'> {
  const { valueUnit = 'percent', valueScale, original } = options;
  const found = series
    .flatMap(({ points }) => points.flatMap(({ value, interval = [] }) => [value, ...interval]))
    .concat(original?.value ?? [])
    .map(placeOf(options));
  const [low, high] = [Math.min(...found), Math.max(...found)];
  const pad = 0.05 * (high - low);
  // Shares have no room outside of [0, 1], unless they are there.
  const shares = valueUnit === 'percent' && valueScale !== 'log' && low >= 0 && high <= 1;
  const [from, to] = shares
    ? [Math.max(0, low - pad), Math.min(1, high + pad)]
    : [low - pad, high + pad];
  const ticks = valueScale === 'log' ? logTicks(from, to) : roundTicks(from, to);
  const write = { percent: percentText, number: numberText, bytes: sizeText }[valueUnit];
  const format = (at: number) => write(valueScale === 'log' ? 10 ** at : at);
  return { min: ticks[0]!, max: ticks.at(-1)!, ticks, format };
}
