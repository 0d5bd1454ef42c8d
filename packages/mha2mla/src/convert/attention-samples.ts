import { type DecoderConfig, PADDING, VISION } from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import type { CalibrationBatch } from './calibration-batch';

type Values = Float32Array | Int32Array | Uint8Array;

/**
 * Cut a batch's queries and keys into samples of its attention, with evenly spaced query rows.
 * @param query [B, L, N * H], key [B, L, K * H], before rotation.
 * @param rows most query rows a sample.
 * @param limit most samples.
 */
export function attentionSamples(
  config: DecoderConfig,
  { step, angles }: Pick<CalibrationBatch, 'step' | 'angles'>,
  query: Values,
  key: Values,
  rows: number,
  limit: number,
): AttentionSample[] {
  const { batch, length, kinds } = step.layout;
  const { numAttentionHeads, numKeyValueHeads, headDim } = config;
  const half = headDim / 2;
  return Array.from({ length: Math.min(batch, limit) }, (_, row) => {
    const own = kinds.subarray(row * length, (row + 1) * length);
    const columns = spacedColumns(own, rows);
    const table = (values: Float32Array) =>
      values.subarray(row * length * half, (row + 1) * length * half);
    const [keyCos, keySin] = [table(angles.cos), table(angles.sin)];
    return {
      query: headsFirst(query, row, length, numAttentionHeads, headDim, columns),
      key: headsFirst(key, row, length, numKeyValueHeads, headDim, [...own.keys()]),
      keyCos,
      keySin,
      queryCos: takeRows(keyCos, columns, half),
      querySin: takeRows(keySin, columns, half),
      rowColumn: Int32Array.from(columns),
      rowIsVision: Uint8Array.from(columns, (column) => (own[column] === VISION ? 1 : 0)),
      keyMask: own.map((kind) => (kind === PADDING ? 0 : 1)),
      keyIsVision: own.map((kind) => (kind === VISION ? 1 : 0)),
    };
  });
}

/** At most `count` columns that are not padding, evenly spaced, the last always among them. */
function spacedColumns(kinds: Uint8Array, count: number): number[] {
  const real = [...kinds.keys()].filter((column) => kinds[column] !== PADDING);
  if (real.length <= count) return real;
  return Array.from(
    { length: count },
    (_, i) => real[Math.ceil(((i + 1) * real.length) / count) - 1]!,
  );
}

/** Columns of row `row` of [B, L, heads * H] as [heads, columns, H]. */
function headsFirst(
  values: Values,
  row: number,
  length: number,
  heads: number,
  headDim: number,
  columns: readonly number[],
): Float32Array {
  const out = new Float32Array(heads * columns.length * headDim);
  for (let head = 0; head < heads; head++) {
    for (const [i, column] of columns.entries()) {
      const start = ((row * length + column) * heads + head) * headDim;
      out.set(values.subarray(start, start + headDim), (head * columns.length + i) * headDim);
    }
  }
  return out;
}

function takeRows(table: Float32Array, rows: readonly number[], width: number): Float32Array {
  const out = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) {
    out.set(table.subarray(row * width, (row + 1) * width), i * width);
  }
  return out;
}
