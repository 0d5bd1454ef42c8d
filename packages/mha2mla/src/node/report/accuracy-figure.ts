/** Accuracy against cache bytes, of all results of `eval` that tell both. */
import { sizeText } from '../../cli/quantities';
import { drawAgainstBytes } from './draw-against-bytes';
import { label } from './escape-html';
import { FIGURE_WIDTH, type Figure } from './figure';
import { bytesText, numberText, percentText, roundPercent } from './number-text';
import { type Result, Z_95 } from './results';
import type { EvaluationData, PlotData, RunData } from './run-data';

const SIZE = { width: FIGURE_WIDTH, height: 320 };

export async function accuracyFigure(
  runs: readonly RunData[],
  results: readonly Result[],
  id: string,
): Promise<Figure | undefined> {
  const found = runs.flatMap(({ name, evaluations }) => {
    const told = evaluations.filter(({ cacheBytesPerToken = 0 }) => cacheBytesPerToken > 0);
    return told.length > 0 ? [{ name, evaluations: told }] : [];
  });
  if (found.length === 0) return undefined;
  const title = titleOf(results);
  const series = found.map(({ name, evaluations }) => ({
    name,
    points: evaluations.map((one) => ({
      bytes: one.cacheBytesPerToken!,
      value: one.accuracy,
      interval: wilson(one),
    })),
  }));
  return {
    title,
    caption:
      'Further up and left is better. Exact matches of greedy answers, with 95 % intervals (Wilson) that take questions as independent; halving the bytes is the same step anywhere.',
    drawings: [
      await drawAgainstBytes(series, { ...SIZE, title, bytesUnit: 'bytes', target: 'page', id }),
    ],
    table: {
      head: ['run', 'result', 'questions', 'accuracy', 'interval', 'nll', 'bytes a token'],
      rows: found.flatMap(({ name, evaluations }) =>
        evaluations.map((one) => [
          ...[name, one.name, bytesText(one.questions), percentText(one.accuracy)],
          wilson(one).map(percentText).join(' to '),
          one.nll === undefined ? '' : numberText(one.nll),
          bytesText(one.cacheBytesPerToken!),
        ]),
      ),
    },
  };
}

function titleOf(results: readonly Result[]): string {
  const best = results.filter(({ against }) => against).at(-1);
  if (!best?.share) return 'Accuracy against cache bytes';
  const kept = `${roundPercent(best.accuracy)} right at ${roundPercent(best.share)} of the cache`;
  return `${label(best.name, 24)}: ${kept}`;
}

/** Plots that a file brings, such as those of an ablation. */
export async function plotFigure(
  { series, caption, options }: PlotData,
  id: string,
): Promise<Figure> {
  const { title, valueLabel = 'accuracy', valueUnit = 'percent' } = options;
  const { bytesLabel = 'the bytes of the cache' } = options;
  const write = { percent: percentText, number: numberText, bytes: sizeText }[valueUnit];
  return {
    title,
    caption: caption ?? `${valueLabel} against ${bytesLabel}.`,
    drawings: [await drawAgainstBytes(series, { ...options, ...SIZE, target: 'page', id })],
    table: {
      head: ['series', options.bytesLabel ?? 'bytes', valueLabel, 'interval'],
      rows: series.flatMap(({ name, points }) =>
        points.map(({ bytes, value, interval }) => [
          ...[name, numberText(bytes), write(value)],
          interval ? interval.map(write).join(' to ') : '',
        ]),
      ),
    },
  };
}

/** The score interval of a share: it stays within [0, 1], and is right at 0 and 1 too. */
function wilson({ accuracy, questions }: EvaluationData): [low: number, high: number] {
  const z2 = Z_95 ** 2;
  const middle = (accuracy + z2 / (2 * questions)) / (1 + z2 / questions);
  const spread =
    Math.sqrt((z2 / questions) * (accuracy * (1 - accuracy) + z2 / (4 * questions))) /
    (1 + z2 / questions);
  return [Math.max(0, middle - spread), Math.min(1, middle + spread)];
}
