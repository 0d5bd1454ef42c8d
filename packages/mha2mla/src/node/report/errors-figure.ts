/** Relative error of what low rank replaced, by layer and modality. */
import { FIGURE_WIDTH, type Figure } from './figure';
import { legend } from './legend';
import { numberText, percentText, roundPercent } from './number-text';
import { color } from './palette';
import { renderSvg } from './render-svg';
import { type ConversionData, MODALITIES } from './run-data';
import { apart, roundTicks, valueAxis } from './value-axis';

const SIZE = { width: FIGURE_WIDTH, height: 320 };

export async function errorsFigure(
  { layers }: ConversionData,
  id: string,
): Promise<Figure | undefined> {
  const found = MODALITIES.filter((modality) => layers.some((layer) => layer[modality]));
  if (found.length === 0) return undefined;
  const errors = layers.flatMap((layer) =>
    found.map((modality) => layer[modality]?.relativeError ?? 0),
  );
  const ticks = roundTicks(
    0,
    errors.reduce((a, b) => Math.max(a, b), 1e-9),
  );
  const last = Math.max(1, layers.length - 1);
  const option = {
    legend: legend(found),
    grid: { left: 60, right: 20, top: 44, bottom: 50 },
    xAxis: valueAxis({
      ...{ name: 'layer', min: 0, max: last, format: (at) => String(layers[at]?.layer ?? '') },
      ticks: apart([...layers.keys()], last / 16),
    }),
    yAxis: valueAxis({
      ...{ name: 'relative error', min: 0, max: ticks.at(-1)!, ticks, lines: true, nameGap: 46 },
      format: numberText,
    }),
    series: found.map((modality) => ({
      type: 'line' as const,
      ...{ name: modality, silent: true, symbolSize: 8 },
      symbol: modality === 'vision' ? 'circle' : 'rect',
      itemStyle: { color: color(modality) },
      lineStyle: { color: color(modality), width: 2 },
      data: layers.flatMap((layer, at) => {
        const factor = layer[modality];
        return factor ? [[at, factor.relativeError]] : [];
      }),
    })),
  };
  return {
    title: titleOf(layers, found),
    caption:
      'Error by layer of the keys and values that come out of the latents, relative to their size, before any healing; lower is better.',
    drawings: [
      await renderSvg(option, {
        ...{ ...SIZE, id, title: 'Relative error by layer and modality' },
        description: 'A line for each modality over the layers. The table has the figures.',
      }),
    ],
    table: {
      head: ['layer', 'modality', 'relative error', 'energy kept', 'rank'],
      rows: layers.flatMap((layer) =>
        found.flatMap((modality) => {
          const factor = layer[modality];
          if (!factor) return [];
          const { relativeError, retainedEnergy, rank } = factor;
          const figures = [numberText(relativeError), percentText(retainedEnergy)];
          return [[`${layer.layer}`, modality, ...figures, rank === undefined ? '' : `${rank}`]];
        }),
      ),
    },
  };
}

function titleOf(layers: ConversionData['layers'], found: readonly (typeof MODALITIES)[number][]) {
  const means = found.map((modality) => {
    const errors = layers.flatMap((layer) => layer[modality]?.relativeError ?? []);
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    return `${roundPercent(mean)} for ${modality}`;
  });
  return `Keys and values are off by ${means.join(', ')}`;
}
