/**
 * Rank spectra: what share of the energy a latent of so many dims a KV head would drop, a line a
 * layer, a drawing a modality. Both scales are logarithmic; the rank that was chosen is marked on
 * each line. A modality without spectra has no drawing.
 */
import type { EChartsOption, LineSeriesOption } from 'echarts';
import { FIGURE_WIDTH, type Figure } from './figure';
import { numberText, percentText, roundPercent } from './number-text';
import { color, rampColor } from './palette';
import { renderSvg } from './render-svg';
import { type ConversionData, type FactorData, MODALITIES } from './run-data';
import { apart, valueAxis } from './value-axis';

/** Tails below are rounding, and would only stretch the scale. */
const FLOOR = 1e-7;
const SIZE = { width: FIGURE_WIDTH, height: 320 };

export async function spectraFigure(
  { layers }: ConversionData,
  id: string,
): Promise<Figure | undefined> {
  const found = MODALITIES.map((modality) => ({
    modality,
    curves: layers.flatMap((layer, index) => curveOf(layer[modality], index, layers.length)),
  })).filter(({ curves }) => curves.length > 0);
  if (found.length === 0) return undefined;
  const range = rangeOf(found.flatMap(({ curves }) => curves));
  const drawings = await Promise.all(
    found.map(({ modality, curves }) =>
      renderSvg(chartOf(modality, curves, range), {
        ...{ ...SIZE, id: `${id}-${modality}` },
        title: `Rank spectrum of ${modality} tokens by layer`,
        description: `Share of the energy that is dropped against latent dims a KV head, both logarithmic, a line for each of ${curves.length} layers. The table has the figures.`,
      }),
    ),
  );
  return {
    title: titleOf(layers),
    caption:
      'Rank spectra: what share of the energy a latent of so many dims a KV head drops, lower is better; a dot marks what was chosen. Where a line is steep, a few dims more buy much.',
    drawings,
    ramp: { first: 'first layer', last: 'last layer' },
    table: tableOf(found, layers),
  };
}

function titleOf(layers: ConversionData['layers']): string {
  const kept = layers.flatMap((layer) =>
    MODALITIES.flatMap((modality) => layer[modality]?.retainedEnergy ?? []),
  );
  const [least, most] = [Math.min(...kept), Math.max(...kept)].map(roundPercent);
  return `Latents keep ${least} to ${most} of the energy of keys and values`;
}

interface Curve {
  index: number;
  color: string;
  ranks: number[];
  tail: number[];
  /** The rank that was chosen, and its tail on the line. */
  chosen?: [rank: number, tail: number];
}

function curveOf(factor: FactorData | undefined, index: number, count: number): Curve[] {
  if (!factor?.spectrum) return [];
  const { ranks, tail } = factor.spectrum;
  const points = ranks.flatMap((rank, i) =>
    rank > 0 && tail[i]! >= FLOOR ? [[rank, tail[i]!] as const] : [],
  );
  const chosen = factor.rank === undefined ? undefined : tailAt(factor, factor.rank);
  return [
    {
      ...{ index, color: rampColor(index, count) },
      ranks: points.map(([rank]) => rank),
      tail: points.map(([, share]) => share),
      ...(chosen !== undefined && { chosen: [factor.rank!, Math.max(FLOOR, chosen)] }),
    },
  ];
}

/** On the line between the two ranks around it, which is straight on logarithmic scales. */
function tailAt({ spectrum }: FactorData, rank: number): number | undefined {
  if (!spectrum || rank === 0) return undefined;
  const { ranks, tail } = spectrum;
  const after = ranks.findIndex((one) => one >= rank);
  if (after < 0) return undefined;
  if (ranks[after] === rank || after === 0 || ranks[after - 1] === 0) return tail[after];
  const [low, high] = [after - 1, after].map((i) => Math.log(Math.max(FLOOR, tail[i]!)));
  const [from, to] = [ranks[after - 1]!, ranks[after]!].map(Math.log);
  return Math.exp(low! + ((high! - low!) * (Math.log(rank) - from!)) / (to! - from!));
}

interface Range {
  ranks: number[];
  widest: number;
  least: number;
}

function rangeOf(curves: readonly Curve[]): Range {
  let [widest, least] = [2, 0.1];
  for (const { ranks, tail, chosen } of curves) {
    for (const rank of ranks) widest = Math.max(widest, rank);
    for (const share of tail) least = Math.min(least, share);
    least = Math.min(least, chosen?.[1] ?? 1);
  }
  const ranks = Array.from({ length: Math.ceil(Math.log2(widest)) + 1 }, (_, i) => 2 ** i);
  return { ranks, widest, least };
}

function chartOf(modality: string, curves: readonly Curve[], range: Range): EChartsOption {
  const bottom = Math.floor(Math.log10(range.least));
  const decades = Array.from({ length: 1 - bottom }, (_, i) => bottom + i);
  const width = Math.log2(range.widest);
  return {
    grid: { left: 60, right: 16, top: 34, bottom: 50 },
    title: { text: modality, left: 56, top: 6, textStyle: { fontSize: 14, color: color('ink') } },
    xAxis: valueAxis({
      ...{ name: 'latent dims a KV head', min: 0, max: width },
      ticks: apart(range.ranks.map(Math.log2), width / 10).filter((tick) => tick <= width),
      format: (log) => String(Math.round(2 ** log)),
    }),
    yAxis: valueAxis({
      ...{ name: 'energy dropped', min: bottom, max: 0, lines: true, nameGap: 46 },
      ...{ ticks: decades, format: decadeText },
    }),
    series: curves.flatMap((curve) => [lineOf(curve), ...chosenOf(curve, curves.length)]),
  };
}

/** A power of ten as a percentage in plain digits: 0.001 %. */
function decadeText(log: number): string {
  return `${(100 * 10 ** log).toFixed(Math.max(0, -2 - log))} %`;
}

function lineOf({ ranks, tail, color }: Curve): LineSeriesOption {
  return {
    type: 'line',
    data: ranks.map((rank, i) => [Math.log2(rank), Math.log10(tail[i]!)]),
    ...{ symbol: 'none', silent: true, lineStyle: { color, width: 1.5 } },
  };
}

function chosenOf({ chosen, color: own }: Curve, count: number): LineSeriesOption[] {
  if (!chosen) return [];
  // Dots of many layers lie on one another: a rim would hide their lines.
  const [symbolSize, borderWidth] = count > 8 ? [7, 0.5] : [9, 1.5];
  return [
    {
      type: 'line',
      data: [[Math.log2(chosen[0]), Math.log10(chosen[1])]],
      ...{ symbol: 'circle', symbolSize, silent: true, z: 5 },
      itemStyle: { color: own, borderColor: color('card'), borderWidth },
    },
  ];
}

function tableOf(
  found: readonly { modality: (typeof MODALITIES)[number] }[],
  layers: ConversionData['layers'],
): Figure['table'] {
  const most = layers.flatMap((layer) =>
    found.map(({ modality }) => layer[modality]?.spectrum?.ranks.at(-1) ?? 0),
  );
  const widest = most.reduce((a, b) => Math.max(a, b), 0);
  const columns = Array.from({ length: 16 }, (_, i) => 2 ** i).filter((rank) => rank <= widest);
  return {
    head: ['layer', 'modality', 'chosen rank', 'dropped', ...columns.map((n) => `at ${n}`)],
    rows: layers.flatMap((layer) =>
      found.flatMap(({ modality }) => {
        const factor = layer[modality];
        if (!factor?.spectrum) return [];
        const at = (rank: number | undefined) => {
          const share = rank === undefined ? undefined : tailAt(factor, rank);
          return share === undefined ? '' : percentText(share);
        };
        const rank = factor.rank === undefined ? '' : numberText(factor.rank);
        return [[`${layer.layer}`, modality, rank, at(factor.rank), ...columns.map(at)]];
      }),
    ),
  };
}
