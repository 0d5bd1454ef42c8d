/** Read measured cells as rows, each with its distance to the original, averaged over seeds. */
import { accuracyDifference, nllDifference } from '../ablation/paired.js';

/**
 * @param {readonly import('./cells.js').HealingCell[]} cells
 * @param {import('../ablation/cell-store.js').CellStore} store
 */
export async function summarise(cells, store) {
  const originals = new Map();
  const groups = new Map();
  for (const cell of cells) {
    const result = await store.read(cell);
    if (result === undefined) continue;
    const { family, table, row, ropeDim, rank } = cell;
    if (table === 'original') {
      originals.set(family, result);
      continue;
    }
    const key = JSON.stringify([family, table, row, ropeDim, rank]);
    const group = groups.get(key) ?? { cell, results: [] };
    group.results.push(result);
    groups.set(key, group);
  }
  const rows = [...groups.values()].map(({ cell, results }) =>
    summariseRow(cell, results, originals.get(cell.family)),
  );
  return { rows };
}

function summariseRow({ family, table, row, ropeDim, rank, heal }, results, original) {
  const pictures = results.map((result) => result.pictures);
  const each = (pick) => results.map((result) => round(pick(result)));
  const lost = accuracyDifference([original.pictures], pictures);
  const kept = (loss) => round(1 - loss / original.accuracy);
  return {
    ...{ family, table, row, ropeDim, rank },
    share: round(results[0].share),
    original: round(original.accuracy),
    accuracy: each(({ accuracy }) => accuracy),
    nll: each(({ nll }) => nll),
    /** Of the original's accuracy, with the interval by picture of the mean over seeds. */
    kept: { mean: kept(lost.mean), low: kept(lost.high), high: kept(lost.low) },
    nllGained: round(nllDifference(pictures, [original.pictures]).mean),
    ...(heal && {
      questions: heal.questions ?? 2000,
      updates: results[0].steps,
      trainableShare: round(results[0].trainableShare),
      healSeconds: each(({ healSeconds }) => healSeconds),
    }),
  };
}

function round(value) {
  return Number(value.toFixed(6));
}
