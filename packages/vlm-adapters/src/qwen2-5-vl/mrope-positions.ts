/**
 * Positions of M-RoPE: a text token stands at one position on all three axes; a token of a picture
 * or a video stands at its time, row and column, counted from where the text left off. The text goes
 * on behind the largest position.
 */
import type { Positions } from '../family';
import type { ModelInputs } from '../model-inputs';
import { type MediaKind, type Medium, mediaOf, type VideoPositions } from './mrope-media';
import type { Qwen25VlConfig } from './qwen2-5-vl-config';

/** A text token: one place on all axes. */
const TEXT: Medium = { grid: { t: 1, h: 1, w: 1 }, timeOf: () => 0, extent: 1 };

/**
 * @returns positionIds [3 * B * L], nextPositions [3 * B], ropeDeltas [B] against the padded length.
 * @throws RangeError when the tokens of pictures and videos differ from their grids.
 */
export function mropePositions(
  config: Qwen25VlConfig,
  inputs: ModelInputs,
  videoPositions: VideoPositions,
): Positions {
  const { batch, length, inputIds, attentionMask } = inputs;
  const media = mediaOf(config, inputs, videoPositions);
  const kinds = new Map<number, MediaKind>([
    [config.imageTokenId, 'image'],
    [config.videoTokenId, 'video'],
  ]);
  for (const [id, kind] of kinds) assertTokens(kind, inputs, id, media[kind]);
  const turns = { image: media.image.values(), video: media.video.values() };
  const mediumOf = (id: number): Medium => {
    const kind = kinds.get(id);
    return kind ? turns[kind].next().value! : TEXT;
  };
  const positionIds = new Int32Array(3 * batch * length).fill(1);
  const next = new Int32Array(batch);
  for (let row = 0; row < batch; row++) {
    const start = row * length;
    const places: number[] = [];
    for (let t = start; t < start + length; t++) if (attentionMask[t] !== 0) places.push(t);
    const ids = places.map((place) => inputIds[place]!);
    const { axes, end } = rowPositions(ids, mediumOf);
    for (const [axis, positions] of axes.entries()) {
      for (const [i, place] of places.entries()) {
        positionIds[axis * batch * length + place] = positions[i]!;
      }
    }
    next[row] = end;
  }
  return {
    positionIds,
    nextPositions: Int32Array.from([...next, ...next, ...next]),
    ropeDeltas: next.map((position) => position - length),
  };
}

/** Positions of the tokens of a row on t, h and w, and that of the token behind them. */
function rowPositions(ids: readonly number[], mediumOf: (id: number) => Medium) {
  const axes = [new Int32Array(ids.length), new Int32Array(ids.length), new Int32Array(ids.length)];
  const [time, row, column] = axes as [Int32Array, Int32Array, Int32Array];
  let [start, largest] = [0, -1];
  for (let i = 0; i < ids.length; ) {
    const { grid, timeOf, extent } = mediumOf(ids[i]!);
    const size = tokensOf(grid);
    if (size > 1) assertRun(ids, i, size);
    for (let k = 0; k < size; k++, i++) {
      time[i] = start + timeOf(Math.floor(k / (grid.h * grid.w)));
      row[i] = start + (Math.floor(k / grid.w) % grid.h);
      column[i] = start + (k % grid.w);
      largest = Math.max(largest, time[i]!, row[i]!, column[i]!);
    }
    start += extent;
  }
  return { axes, end: largest + 1 };
}

function tokensOf({ t, h, w }: Medium['grid']): number {
  return t * h * w;
}

/** Tokens and grids agree in all, so that grids whose tokens stand side by side use all of both. */
function assertTokens(
  kind: MediaKind,
  { inputIds, attentionMask }: ModelInputs,
  id: number,
  media: readonly Medium[],
): void {
  const found = inputIds.filter((token, i) => token === id && attentionMask[i] !== 0).length;
  const expected = media.reduce((sum, { grid }) => sum + tokensOf(grid), 0);
  if (found === expected) return;
  throw new RangeError(
    `mropePositions: ${kind} tokens must be those of ${kind}GridThw, got ${found} tokens and ${media.length} grids of ${expected} tokens.`,
  );
}

/** The tokens of a grid stand side by side. */
function assertRun(ids: readonly number[], start: number, size: number): void {
  const own = ids.slice(start, start + size);
  const count = own.filter((id) => id === ids[start]).length;
  if (count === size) return;
  throw new RangeError(
    `mropePositions: a grid of ${size} tokens must have them side by side, got ${count} of token ${ids[start]}.`,
  );
}
