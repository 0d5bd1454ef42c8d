/** Accuracy that is kept against the cache's size, and against the number of training questions. */

const NAMES = { llava: 'LLaVA-1.5', llava_next: 'LLaVA-NeXT', qwen2_5_vl: 'Qwen2.5-VL' };
const KEPT = { valueLabel: "share of the original's accuracy", original: { value: 1 } };

const pointOf = (bytes, { kept }) => ({
  bytes,
  value: kept.mean,
  interval: [kept.low, kept.high],
});

/** @param {Awaited<ReturnType<import('./summarise.js').summarise>>} summary */
export function plotsOf(summary) {
  return [sizesPlot(summary), samplesPlot(summary)].filter(({ series }) => series.length > 0);
}

function sizesPlot({ rows }) {
  const own = rows.filter(({ table }) => table === 'result');
  const series = Object.entries(NAMES).flatMap(([family, name]) =>
    ['converted', 'healed'].map((row) => ({
      name: `${name}, ${row}`,
      points: own
        .filter((one) => one.family === family && one.row === row)
        .map((one) => pointOf(100 * one.share, one)),
    })),
  );
  const title = 'What converted and healed small models keep';
  return { name: 'sizes', series: series.filter(hasPoints), options: { title, ...KEPT } };
}

function samplesPlot({ rows }) {
  const samples = rows.filter(({ table }) => table === 'samples');
  const points = samples.map((row) => pointOf(row.questions, row));
  const series = [{ name: samples[0] ? NAMES[samples[0].family] : '', points }];
  const options = {
    title: 'What healing with fewer questions keeps',
    bytesUnit: 'bytes',
    bytesLabel: 'questions to train on',
    ...KEPT,
  };
  return { name: 'samples', series: series.filter(hasPoints), options };
}

const hasPoints = ({ points }) => points.length > 0;
