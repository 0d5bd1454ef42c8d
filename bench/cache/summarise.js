/** Read measured cells as rows, each with its bytes and its distance to the original's answers. */
import { accuracyDifference, nllDifference } from '../ablation/paired.js';

/**
 * Of a token, once for all layers (`DecoderCache.bytes`): its place in the sequence, and where rotary
 * keys have a bias its position on each of three axes.
 */
const POSITION_BYTES = { llava: 4, llava_next: 4, qwen2_5_vl: 16 };

/**
 * @param {readonly import('./cells.js').CacheCell[]} cells
 * @param {import('../ablation/cell-store.js').CellStore} store
 */
export async function summarise(cells, store) {
  const originals = new Map();
  const rows = [];
  for (const cell of cells) {
    const result = await store.read(cell);
    if (result === undefined) continue;
    if (cell.cache) rows.push(summariseRow(cell, result, originals.get(cell.family)));
    else originals.set(cell.family, result);
  }
  const answers = [...originals].map(([family, { accuracy, nll }]) => ({ family, accuracy, nll }));
  return { originals: answers, rows };
}

function summariseRow({ family, table, row, cache }, result, original) {
  const { bytesPerToken, heldBytesPerToken, originalBytesPerToken } = result;
  const { accuracy, nll, pictures } = result;
  const lost = accuracyDifference([original.pictures], [pictures]);
  const gained = nllDifference([pictures], [original.pictures]);
  const kept = (loss) => round(1 - loss / original.accuracy);
  return {
    ...{ family, table, row, cache },
    bytesPerToken: round(bytesPerToken),
    fewer: round(originalBytesPerToken / bytesPerToken),
    fewerWithPositions: round(originalBytesPerToken / (bytesPerToken + POSITION_BYTES[family])),
    heldBytesPerToken: round(heldBytesPerToken),
    accuracy: round(accuracy),
    nll: round(nll),
    /** Of the original's accuracy without a cache, with the interval by picture. */
    kept: { mean: kept(lost.mean), low: kept(lost.high), high: kept(lost.low) },
    nllGained: round(gained.mean),
  };
}

function round(value) {
  return Number(value.toFixed(6));
}
