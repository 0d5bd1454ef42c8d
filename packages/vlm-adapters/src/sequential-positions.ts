import type { Positions } from './family';
import type { ModelInputs } from './model-inputs';

/** Positions that count the tokens of a row from 0, padding left out (and given 1, as published). */
export function sequentialPositions({ batch, length, attentionMask }: ModelInputs): Positions {
  const positionIds = new Int32Array(batch * length).fill(1);
  const nextPositions = new Int32Array(batch);
  for (let row = 0; row < batch; row++) {
    for (let t = row * length; t < (row + 1) * length; t++) {
      if (attentionMask[t] !== 0) positionIds[t] = nextPositions[row]!++;
    }
  }
  return { positionIds, nextPositions };
}
