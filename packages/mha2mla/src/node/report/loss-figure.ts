/** The loss of a healing by update: as it was, and as a running mean that shows where it went. */
import { LOOK_EVERY } from '../../heal/held-out';
import { FIGURE_WIDTH, type Figure } from './figure';
import { numberText } from './number-text';
import { color } from './palette';
import { renderSvg } from './render-svg';
import { apart, roundTicks, valueAxis } from './value-axis';

const SIZE = { width: FIGURE_WIDTH, height: 320 };
/** More points than that are means of neighbours: a drawing is 600 pixels wide. */
const MOST_POINTS = 600;

export async function lossFigure(
  losses: readonly number[] | undefined,
  id: string,
  heldOut: readonly number[] = [],
): Promise<Figure | undefined> {
  if (!losses || losses.length === 0) return undefined;
  const looks = heldOut.map(
    (loss, i) => [Math.min(losses.length, (i + 1) * LOOK_EVERY), loss] as const,
  );
  const width = Math.ceil(losses.length / MOST_POINTS);
  const points = Array.from({ length: Math.ceil(losses.length / width) }, (_, i) => {
    const part = losses.slice(i * width, (i + 1) * width);
    return [i * width + (part.length + 1) / 2, mean(part)] as const;
  });
  const values = [...points, ...looks].map(([, loss]) => loss);
  const ticks = roundTicks(Math.min(...values), Math.max(...values));
  const steps = roundTicks(0, losses.length);
  const line = (data: readonly (readonly [number, number])[], opacity: number, width: number) => ({
    type: 'line' as const,
    ...{
      symbol: data.length === 1 ? 'circle' : 'none',
      silent: true,

      data: data.map((p) => [...p]),
    },
    ...{ itemStyle: { color: color('series0') } },
    lineStyle: { color: color('series0'), width, opacity },
  });
  const option = {
    grid: { left: 60, right: 20, top: 20, bottom: 50 },
    xAxis: valueAxis({
      ...{ name: 'update', min: 0, max: Math.max(1, losses.length), format: numberText },
      ticks: apart(steps, 1e-9).filter((tick) => tick <= losses.length),
    }),
    yAxis: valueAxis({
      ...{ name: 'loss', min: ticks[0]!, max: ticks.at(-1)!, ticks, lines: true, nameGap: 46 },
      format: numberText,
    }),
    series: [line(points, 0.35, 1), line(smoothed(points), 1, 2.5), dotted(looks)],
  };
  const [first, last] = [losses[0]!, losses.at(-1)!].map(numberText);
  return {
    title: `Healing took the loss from ${first} to ${last}`,
    caption: `Loss of ${losses.length} updates, lower is better; the strong line is a running mean${looks.length > 0 ? ', dots are pictures held out' : ''}.`,
    drawings: [
      await renderSvg(option, {
        ...{ ...SIZE, id, title: 'Loss by update' },
        description: `Loss of ${losses.length} updates, from ${first} to ${last}.`,
      }),
    ],
    table: {
      head: ['updates', 'mean loss'],
      rows: tenths(losses).map(({ from, to, loss }) => [`${from + 1} to ${to}`, numberText(loss)]),
    },
  };
}

function dotted(data: readonly (readonly [number, number])[]) {
  return {
    ...{ type: 'scatter' as const, silent: true, symbolSize: 9, data: data.map((p) => [...p]) },
    itemStyle: { color: color('series1') },
  };
}

/** Means over a twentieth of the run around each point. */
function smoothed(points: readonly (readonly [number, number])[]) {
  const half = Math.max(1, Math.round(points.length / 40));
  return points.map(([at], i) => {
    const near = points.slice(Math.max(0, i - half), i + half + 1);
    return [at, mean(near.map(([, loss]) => loss))] as const;
  });
}

function tenths(losses: readonly number[]) {
  const width = Math.ceil(losses.length / 10);
  return Array.from({ length: Math.ceil(losses.length / width) }, (_, i) => {
    const [from, to] = [i * width, Math.min(losses.length, (i + 1) * width)];
    return { from, to, loss: mean(losses.slice(from, to)) };
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
