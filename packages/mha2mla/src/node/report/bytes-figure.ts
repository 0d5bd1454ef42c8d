/** Cache bytes a token, before and after, of all runs. */
import type { EChartsOption } from 'echarts';
import { label } from './escape-html';
import { FIGURE_WIDTH, type Figure } from './figure';
import { bytesText, percentText, roundPercent } from './number-text';
import { color } from './palette';
import { renderSvg } from './render-svg';
import type { RunData } from './run-data';
import { roundTicks, valueAxis } from './value-axis';

export async function bytesFigure(
  runs: readonly RunData[],
  id: string,
): Promise<Figure | undefined> {
  const found = runs.flatMap(({ name, conversion }) =>
    conversion ? [{ name, ...conversion.cacheBytesPerToken }] : [],
  );
  if (found.length === 0) return undefined;
  const widest = found.reduce(
    (most, { original, converted }) => Math.max(most, original, converted),
    1,
  );
  const size = { width: FIGURE_WIDTH, height: 70 + 44 * found.length };
  return {
    title: titleOf(found),
    caption:
      'Over all layers, as the cache is stored, half of the tokens vision and half text: the original above, the converted model below.',
    drawings: [
      await renderSvg(chartOf(found, widest), {
        ...{ ...size, id, title: 'Cache bytes a token, before and after' },
        description: found
          .map((one) => `${one.name}: ${one.original} before, ${one.converted} after.`)
          .join(' '),
      }),
    ],
    table: {
      head: ['run', 'original', 'converted', 'share'],
      rows: found.map(({ name, original, converted }) => [
        name,
        bytesText(original),
        bytesText(converted),
        original > 0 ? percentText(converted / original) : '',
      ]),
    },
  };
}

function titleOf(found: readonly Bytes[]): string {
  const [{ original, converted }] = found as [Bytes];
  if (found.length > 1 || original <= 0) return 'Cache bytes a token, before and after';
  return `The cache takes ${roundPercent(converted / original)} of the original’s bytes`;
}

type Bytes = { name: string; original: number; converted: number };

function chartOf(found: readonly Bytes[], widest: number): EChartsOption {
  const ticks = roundTicks(0, widest, 3);
  const bar = (name: 'before' | 'after', values: number[]) => ({
    type: 'bar' as const,
    ...{ name, silent: true, barWidth: 12, barGap: '15%', itemStyle: { color: color(name) } },
    data: values,
    label: {
      ...{ show: true, position: 'right' as const, color: color('ink'), fontSize: 12 },
      formatter: ({ value }: { value: unknown }) => bytesText(Number(value)),
    },
  });
  return {
    // Names of runs are as long as folders' are.
    grid: { left: 110, right: 64, top: 8, bottom: 50 },
    yAxis: {
      ...{ type: 'category', inverse: true, data: found.map(({ name }) => label(name, 14)) },
      ...{
        silent: true,
        axisTick: { show: false },
        axisLine: { lineStyle: { color: color('muted') } },
      },
      axisLabel: { color: color('ink'), fontSize: 12 },
    },
    xAxis: valueAxis({
      ...{
        name: 'bytes a token',
        min: 0,
        max: ticks.at(-1)!,
        ticks,
        lines: true,
        format: bytesText,
      },
    }),
    series: [
      bar(
        'before',
        found.map(({ original }) => original),
      ),
      bar(
        'after',
        found.map(({ converted }) => converted),
      ),
    ] as EChartsOption['series'],
  };
}
