/**
 * A grid of cells by layer (down) and rotary pair (across), for maps of what was chosen and of what
 * it scored. Neighbours that look the same are one rectangle. Sections of M-RoPE have a colour each
 * and their letters on top.
 */
import type { CustomSeriesOption, EChartsOption } from 'echarts';
import { FIGURE_WIDTH } from './figure';
import type { ColorName } from './palette';
import { color } from './palette';
import { apart, valueAxis } from './value-axis';

export interface Grid {
  pairs: number;
  mropeSection?: readonly number[];
  /** Labels of the layers. */
  layers: readonly number[];
  /** Rows a layer, such as its heads. */
  rowsPerLayer: number;
  /** By row and pair, how strong a cell is, in [0, 1]; 0 is not drawn. */
  cells: readonly (readonly number[])[];
}

const SECTIONS: readonly { letter: string; color: ColorName }[] = [
  { letter: 't', color: 'series0' },
  { letter: 'h', color: 'series1' },
  { letter: 'w', color: 'series2' },
];
const MARGIN = { left: 56, right: 16, bottom: 46 };

/** Pixels of a grid: rows are as high as their number allows, and never thinner than 3. */
export function gridSize({ layers, rowsPerLayer }: Grid): { width: number; height: number } {
  const rows = layers.length * rowsPerLayer;
  const row = Math.max(3, Math.min(18, Math.floor(480 / Math.max(1, rows))));
  return { width: FIGURE_WIDTH, height: rows * row + 30 + MARGIN.bottom };
}

export function gridChart(grid: Grid): EChartsOption {
  const { pairs, layers, rowsPerLayer } = grid;
  const rows = layers.length * rowsPerLayer;
  const middle = (index: number) => (index + 0.5) * rowsPerLayer;
  const labelled = apart([...layers.keys()], Math.max(1, Math.ceil(layers.length / 24)));
  const columns = [...sectionStarts(grid).map(({ from }) => from), pairs];
  const step = [1, 2, 4, 8, 16, 32, 64].find((one) => pairs / one <= 12) ?? 128;
  const ticks = Array.from({ length: Math.ceil(pairs / step) }, (_, i) => i * step + 0.5);
  return {
    grid: { ...MARGIN, top: 30 },
    xAxis: valueAxis({
      ...{ name: 'rotary pair', min: 0, max: pairs, ticks, format: (at) => `${Math.floor(at)}` },
    }),
    yAxis: {
      ...valueAxis({
        ...{ name: 'layer', min: 0, max: rows, ticks: labelled.map(middle), nameGap: 36 },
        format: (at) => String(layers[Math.floor(at / rowsPerLayer)] ?? ''),
      }),
      inverse: true,
    },
    series: [frames(grid, columns), cellsOf(grid), letters(grid)],
  };
}

interface Section {
  from: number;
  to: number;
  letter: string;
  color: ColorName;
}

/** One section without a letter where the model has plain RoPE. */
function sectionStarts({ pairs, mropeSection }: Grid): Section[] {
  if (!mropeSection) return [{ from: 0, to: pairs, letter: '', color: 'series0' }];
  let from = 0;
  return mropeSection.slice(0, SECTIONS.length).map((count, i) => {
    const section = { from, to: from + count, ...SECTIONS[i]! };
    from += count;
    return section;
  });
}

/** Runs of equal cells of a row within a section: [from, to, row, strength, section]. */
function runsOf(grid: Grid): number[][] {
  return grid.cells.flatMap((cells, row) =>
    sectionStarts(grid).flatMap(({ from, to }, section) => {
      const runs: number[][] = [];
      for (let pair = from; pair < to; pair++) {
        const strength = Math.round(20 * Math.min(1, cells[pair] ?? 0)) / 20;
        const last = runs.at(-1);
        if (last && last[1] === pair && last[3] === strength) last[1] = pair + 1;
        else runs.push([pair, pair + 1, row, strength, section]);
      }
      return runs.filter(([, , , strength]) => strength! > 0);
    }),
  );
}

function cellsOf(grid: Grid): CustomSeriesOption {
  const colors = sectionStarts(grid).map((section) => color(section.color));
  const gap = grid.rowsPerLayer > 1 ? 0 : 0.12;
  return {
    ...{ type: 'custom', silent: true, z: 2, data: runsOf(grid) },
    renderItem: (_, api) => {
      const [from, to, row, strength, section] = [0, 1, 2, 3, 4].map((i) => Number(api.value(i)));
      const [x, y] = api.coord([from!, row! + gap / 2]) as [number, number];
      const [right, bottom] = api.coord([to!, row! + 1 - gap / 2]) as [number, number];
      return {
        type: 'rect',
        shape: { x, y, width: right - x, height: bottom - y },
        style: { fill: colors[section!]!, opacity: strength! },
      };
    },
  };
}

/** Lines between sections and, where a layer has several rows, between layers. */
function frames({ layers, rowsPerLayer }: Grid, columns: readonly number[]): CustomSeriesOption {
  const rows = layers.length * rowsPerLayer;
  const across = rowsPerLayer > 1 ? layers.map((_, i) => [0, i * rowsPerLayer, 1]) : [];
  return {
    ...{ type: 'custom', silent: true, z: 3, data: [...columns.map((x) => [x, 0, 0]), ...across] },
    renderItem: (_, api) => {
      const [x, y, isAcross] = [0, 1, 2].map((i) => Number(api.value(i))) as [
        number,
        number,
        number,
      ];
      const [x1, y1] = api.coord([x, y]) as [number, number];
      const [x2, y2] = api.coord(isAcross ? [columns.at(-1)!, y] : [x, rows]) as [number, number];
      const style = { stroke: color(isAcross ? 'grid' : 'muted'), lineWidth: 1 };
      return { type: 'line', shape: { x1, y1, x2, y2 }, style };
    },
  };
}

function letters(grid: Grid): CustomSeriesOption {
  const sections = sectionStarts(grid).filter(({ from, to, letter }) => letter && to > from);
  return {
    ...{ type: 'custom', silent: true, data: sections.map(({ from, to }) => [(from + to) / 2, 0]) },
    renderItem: ({ dataIndex }, api) => {
      const [x, y] = api.coord([api.value(0), 0]) as [number, number];
      const { letter, color: own } = sections[dataIndex]!;
      return {
        type: 'text',
        ...{ x, y: y - 5 },
        style: {
          ...{ text: letter, fill: color(own), fontSize: 14, fontFamily: 'sans-serif' },
          ...({ align: 'center', verticalAlign: 'bottom' } as const),
        },
      };
    },
  };
}
