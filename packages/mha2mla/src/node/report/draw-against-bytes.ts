/**
 * What a model scores against the bytes of its cache: a line a series, intervals, the original as a
 * level. Bytes run on a logarithmic scale, where halving is one step anywhere.
 */
import { sizeText } from '../../cli/quantities';
import { againstBytesChart } from './against-bytes-chart';
import { numberText, percentText } from './number-text';
import { withLightColors } from './palette';
import { renderSvg } from './render-svg';

/** A point of a drawing: bytes, and what was measured at them. */
export interface BytesPoint {
  /** Cache bytes a token, or their percentage of the original's (`bytesUnit`); above 0. */
  bytes: number;
  /** Accuracy as a share, or whatever else `valueLabel` names. */
  value: number;
  /** Bounds of an interval around the value. */
  interval?: readonly [low: number, high: number];
}

/** Points that belong together. */
export interface BytesSeries {
  name: string;
  points: readonly BytesPoint[];
}

/** Options of `drawAgainstBytes`. */
export interface DrawAgainstBytesOptions {
  title: string;
  /** For people who cannot see it. Default: the figures of each series. */
  description?: string;
  /** What `bytes` counts. Default `percent` of the original's cache. */
  bytesUnit?: 'percent' | 'bytes';
  /** What else they are, such as questions to train on. */
  bytesLabel?: string;
  /** Default `accuracy`. */
  valueLabel?: string;
  /** How values are written: shares as `percent` (default), a `number`, or `bytes` in KB, MB, …. */
  valueUnit?: 'percent' | 'number' | 'bytes';
  /** `log` needs values and intervals above 0. Default `linear`. */
  valueScale?: 'linear' | 'log';
  /** The value of the original, drawn as a dashed level. */
  original?: { name?: string; value: number };
  /** In pixels. Default 720 by 420. */
  width?: number;
  height?: number;
  /** `file` (default): a document, on white. `page`: colours are CSS variables of the report. */
  target?: 'file' | 'page';
  /** Begins the ids of the drawing. Default `bytes`. */
  id?: string;
}

/** More make no plot that can be read; they would only take time. */
const MAX_SERIES = 64;
const MAX_POINTS = 10_000;

/**
 * Draw series against cache bytes.
 * @returns SVG text, the same for the same input.
 * @throws RangeError for no points, too many, values that are not finite, or that have no logarithm
 *   where one is taken.
 */
export async function drawAgainstBytes(
  series: readonly BytesSeries[],
  options: DrawAgainstBytesOptions,
): Promise<string> {
  checkSeries(series, options);
  const { width = 720, height = 420, target = 'file', id = 'bytes', title } = options;
  const description = options.description ?? describe(series, options);
  const chart = againstBytesChart(series, options, width);
  const svg = await renderSvg(chart, { width, height, id, title, description });
  if (target === 'page') return svg;
  return withLightColors(
    svg
      .replace('<svg ', `<svg width="${width}" height="${height}" `)
      .replace('</desc>', '</desc><rect width="100%" height="100%" fill="var(--card)"/>'),
  );
}

function checkSeries(
  series: readonly BytesSeries[],
  { valueScale, original }: DrawAgainstBytesOptions,
): void {
  const points = series.flatMap((one) => one.points);
  const fail = (must: string, got: unknown) => {
    throw new RangeError(`drawAgainstBytes: ${must}, got ${got}.`);
  };
  if (points.length === 0) fail('expected points', 'none');
  if (series.length > MAX_SERIES) fail(`series must be at most ${MAX_SERIES}`, series.length);
  if (points.length > MAX_POINTS) fail(`points must be at most ${MAX_POINTS}`, points.length);
  for (const { bytes } of points) {
    if (!(bytes > 0 && Number.isFinite(bytes))) fail('bytes must be finite and above 0', bytes);
  }
  const values = points.flatMap(({ value, interval = [] }) => [value, ...interval]);
  for (const value of original ? [...values, original.value] : values) {
    if (!Number.isFinite(value)) fail('values must be finite', value);
    if (valueScale === 'log' && value <= 0) fail('values on a log scale must be above 0', value);
  }
}

function describe(series: readonly BytesSeries[], options: DrawAgainstBytesOptions): string {
  const { bytesUnit = 'percent', valueUnit = 'percent', valueLabel = 'accuracy' } = options;
  const value = { percent: percentText, number: numberText, bytes: sizeText }[valueUnit];
  const unit = bytesUnit === 'percent' ? '%' : 'bytes';
  const lines = series.map(({ name, points }) => {
    const figures = points.map((one) => `${value(one.value)} at ${numberText(one.bytes)} ${unit}`);
    return `${name}: ${figures.join(', ')}.`;
  });
  return [`${valueLabel} against cache bytes.`, ...lines].join(' ');
}
