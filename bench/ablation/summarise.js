/** Read measured cells as a table of rows and a list of claims, each with its spread. */
import { CLAIMS } from './claims.js';
import { accuracyDifference, nllDifference } from './paired.js';

/**
 * @param {readonly import('./cells.js').Cell[]} cells
 * @param {import('./cell-store.js').CellStore} store
 */
export async function summarise(cells, store) {
  const originals = new Map();
  const rows = new Map();
  for (const cell of cells) {
    const result = await store.read(cell);
    if (result === undefined) continue;
    if (cell.table === 'original') originals.set(cell.family, result);
    else gather(rows, cell, result);
  }
  const groups = [...rows.values()];
  return {
    originals: [...originals].map(([family, { accuracy, nll, backend }]) => ({
      family,
      accuracy: round(accuracy),
      nll: round(nll),
      backend,
    })),
    rows: groups.map((group) => summariseRow(group, originals.get(group.family))),
    claims: CLAIMS.flatMap((claim) => summariseClaim(claim, groups)),
  };
}

function gather(rows, cell, result) {
  const { family, table, row, ropeDim, rank, seed } = cell;
  const key = JSON.stringify([family, table, row, ropeDim, rank]);
  if (!rows.has(key)) {
    rows.set(key, { family, table, row, ropeDim, rank, share: result.share, bySeed: new Map() });
  }
  rows.get(key).bySeed.set(seed, result);
}

/** Accuracy and likelihood against the original's, averaged over calibration sets. */
function summariseRow({ bySeed, share, ...rest }, original) {
  const results = [...bySeed.values()];
  const pictures = results.map((result) => result.pictures);
  const each = (pick) => results.map((result) => round(pick(result)));
  return {
    ...rest,
    share: round(share),
    accuracy: each(({ accuracy }) => accuracy),
    nll: each(({ nll }) => nll),
    outputError: each(({ outputError }) => outputError),
    factorError: results.map(({ factorError }) => mapValues(factorError, round)),
    ...(original && {
      accuracyLost: rounded(accuracyDifference([original.pictures], pictures)),
      nllGained: rounded(nllDifference(pictures, [original.pictures])),
    }),
  };
}

/** One claim at every point where both of its rows were measured, on the sets that both have. */
function summariseClaim({ claim, table, better, worse }, groups) {
  const own = groups.filter((group) => group.table === table);
  return own.flatMap((a) => {
    const b = own.find((other) => other.row === worse && samePoint(a, other));
    if (a.row !== better || b === undefined) return [];
    const seeds = [...a.bySeed.keys()].filter((seed) => b.bySeed.has(seed));
    const [mine, others] = [a, b].map(({ bySeed }) => seeds.map((seed) => bySeed.get(seed)));
    const pictures = (results) => results.map((result) => result.pictures);
    return {
      claim,
      family: a.family,
      ropeDim: a.ropeDim,
      rank: a.rank,
      share: round(a.share),
      accuracy: rounded(accuracyDifference(pictures(mine), pictures(others))),
      nll: rounded(nllDifference(pictures(mine), pictures(others))),
      // Of each calibration set alone.
      accuracyBySet: seeds.map((_, i) => round(mine[i].accuracy - others[i].accuracy)),
    };
  });
}

const samePoint = (a, b) => a.family === b.family && a.ropeDim === b.ropeDim && a.rank === b.rank;

const rounded = (interval) => mapValues(interval, round);

function mapValues(record, map) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

/** Six digits behind the point, as they are the same on backends that agree to 1e-7. */
function round(value) {
  return Number(value.toFixed(6));
}
