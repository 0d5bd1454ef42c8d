/** Accuracy by kind of question: a row a kind, a dot a result, so that one sees where answers are lost. */
import type { EChartsOption } from 'echarts';
import { label } from './escape-html';
import { FIGURE_WIDTH, type Figure } from './figure';
import { legend, legendRows } from './legend';
import { percentText, roundPercent } from './number-text';
import { color, seriesColor } from './palette';
import { renderSvg } from './render-svg';
import type { Result } from './results';
import { roundTicks, valueAxis } from './value-axis';

const ROW = 30;
const SYMBOLS = ['circle', 'rect', 'triangle', 'diamond'];
/** More results than colours could not be told apart. */
const MOST = 8;

export async function kindsFigure(
  results: readonly Result[],
  id: string,
): Promise<Figure | undefined> {
  const told = results
    .filter(({ accuracyByKind = [] }) => accuracyByKind.length > 1)
    .slice(0, MOST);
  const tables = told.map(({ accuracyByKind }) => new Map(accuracyByKind));
  const kinds = [...new Set(tables.flatMap((table) => [...table.keys()]))];
  if (kinds.length === 0) return undefined;
  const last = told.at(-1)!;
  const [hardest, least] = [...tables.at(-1)!].sort(([, a], [, b]) => a - b)[0]!;
  const names = told.map(({ name }) => label(name));
  const top = 16 + 24 * legendRows(names, FIGURE_WIDTH);
  return {
    title: `${label(last.name, 24)} is weakest on ${label(hardest, 24)}: ${roundPercent(least)} right`,
    caption: 'Right answers by kind of question; further right is better.',
    drawings: [
      await renderSvg(chartOf(kinds, tables, names, top), {
        ...{ width: FIGURE_WIDTH, height: top + ROW * kinds.length + 56, id },
        title: 'Accuracy by kind of question',
        description: `A row for each of ${kinds.length} kinds, a dot for each of ${told.length} results. The table has the figures.`,
      }),
    ],
    table: {
      head: ['kind', ...told.map(({ name }) => name)],
      rows: kinds.map((kind) => [
        kind,
        ...tables.map((table) => (table.has(kind) ? percentText(table.get(kind)!) : '')),
      ]),
    },
  };
}

function chartOf(
  kinds: readonly string[],
  tables: readonly ReadonlyMap<string, number>[],
  names: readonly string[],
  top: number,
): EChartsOption {
  const least = Math.min(...tables.flatMap((table) => [...table.values()]));
  const ticks = roundTicks(Math.min(0.9, least), 1);
  // Results of a kind are often equal: each has a height of its own within the row.
  const at = (row: number, result: number) =>
    row + 0.5 + (result - (tables.length - 1) / 2) * (0.6 / Math.max(1, tables.length - 1));
  return {
    legend: { ...legend(names), itemWidth: 10 },
    grid: { left: 110, right: 24, top, bottom: 52 },
    xAxis: valueAxis({
      ...{ name: 'right answers', min: ticks[0]!, max: 1, lines: true, format: percentText },
      ticks: ticks.filter((tick) => tick <= 1),
    }),
    yAxis: {
      ...valueAxis({
        ...{ name: '', min: 0, max: kinds.length, ticks: kinds.map((_, row) => row + 0.5) },
        format: (middle) => label(kinds[Math.floor(middle)] ?? '', 14),
      }),
      inverse: true,
    },
    series: tables.map((table, result) => ({
      type: 'scatter' as const,
      ...{ name: names[result]!, silent: true, symbol: SYMBOLS[result % 4]!, symbolSize: 9 },
      itemStyle: { color: seriesColor(result), borderColor: color('card'), borderWidth: 0.5 },
      data: kinds.flatMap((kind, row) =>
        table.has(kind) ? [[table.get(kind)!, at(row, result)]] : [],
      ),
    })),
  };
}
