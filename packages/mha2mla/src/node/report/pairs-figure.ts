/**
 * Which rotary pairs keep their rotation, by layer and KV head, and what they scored. Few heads
 * have a row each; with many, a cell is as strong as the share of heads that keep the pair.
 */
import type { Figure } from './figure';
import { type Grid, gridChart, gridSize } from './grid-chart';
import { numberText, runsText } from './number-text';
import { renderSvg } from './render-svg';
import type { ConversionData, LayerData } from './run-data';

/** Heads that have rows of their own; more would be thinner than a line. */
const MOST_ROWS = 8;

export async function pairsFigure(
  { layers, pairs, mropeSection }: ConversionData,
  id: string,
): Promise<Figure | undefined> {
  const heads = layers.reduce((most, { ropePairs }) => Math.max(most, ropePairs.length), 0);
  if (heads === 0 || pairs === 0) return undefined;
  const apart = heads <= MOST_ROWS;
  const grid: Grid = {
    ...{ pairs, mropeSection, layers: layers.map(({ layer }) => layer) },
    rowsPerLayer: apart ? heads : 1,
    cells: layers.flatMap(({ ropePairs }) => {
      const rows = Array.from({ length: apart ? heads : 1 }, () => new Array(pairs).fill(0));
      for (const [head, kept] of ropePairs.entries()) {
        for (const pair of kept) rows[apart ? head : 0]![pair] += apart ? 1 : 1 / heads;
      }
      return rows;
    }),
  };
  const sections = mropeSection
    ? ' The sections of M-RoPE turn with time (t), height (h) and width (w).'
    : '';
  const how = apart
    ? `each layer has a row for each of its ${heads} KV heads`
    : `the stronger, the more of the ${heads} KV heads keep the pair`;
  return {
    title: `${keptText(layers)} of ${pairs} rotary pairs a head keep their rotation`,
    caption: `By layer and rotary pair; ${how}. Pairs on the left turn fastest.${sections}`,
    drawings: [
      await renderSvg(gridChart(grid), {
        ...{ ...gridSize(grid), id, title: 'Chosen rotary pairs by layer' },
        description: `A map of ${layers.length} layers by ${pairs} pairs; ${how}. The table lists the pairs.`,
      }),
    ],
    table: {
      head: ['layer', 'KV head', 'pairs'],
      rows: layers.flatMap(({ layer, ropePairs }) =>
        ropePairs.map((kept, head) => [`${layer}`, `${head}`, runsText(kept)]),
      ),
    },
  };
}

function keptText(layers: readonly LayerData[]): string {
  const counts = layers.flatMap(({ ropePairs }) => ropePairs.map((kept) => kept.length));
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return least === most ? `${least}` : `${least} to ${most}`;
}

/** What a choice by scores was made from; absent for other choices. */
export async function scoresFigure(
  { layers, pairs, mropeSection }: ConversionData,
  id: string,
): Promise<Figure | undefined> {
  const scored = layers.filter(({ pairScores = [] }) => pairScores.length > 0);
  if (scored.length === 0 || pairs === 0) return undefined;
  const means = scored.map((layer) => meanScores(layer, pairs));
  const grid: Grid = {
    ...{ pairs, mropeSection, layers: scored.map(({ layer }) => layer), rowsPerLayer: 1 },
    cells: means.map(strengths),
  };
  return {
    title: 'Where attention misses the rotation of a pair',
    caption:
      'What pairs scored, as a mean over the KV heads of a layer: the stronger, the more attention changes without the rotation of the pair. Each layer has its own scale, square roots of shares of its highest score.',
    drawings: [
      await renderSvg(gridChart(grid), {
        ...{ ...gridSize(grid), id, title: 'Scores of rotary pairs by layer' },
        description: `A map of ${scored.length} layers by ${pairs} pairs. The table has the highest of each layer.`,
      }),
    ],
    table: {
      head: ['layer', 'highest scores, as pair: score'],
      rows: scored.map(({ layer }, i) => [`${layer}`, highest(means[i]!)]),
    },
  };
}

function meanScores({ pairScores = [] }: LayerData, pairs: number): number[] {
  return Array.from({ length: pairs }, (_, pair) => {
    const own = pairScores.map((scores) => scores[pair] ?? 0);
    return own.reduce((sum, score) => sum + score / own.length, 0);
  });
}

/** Square roots bring out what is small; scores that are no better than none are not drawn. */
function strengths(scores: readonly number[]): number[] {
  const most = scores.reduce((a, b) => Math.max(a, b), 0);
  return scores.map((score) => (most > 0 ? Math.sqrt(Math.max(0, score) / most) : 0));
}

function highest(scores: readonly number[]): string {
  return [...scores.entries()]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 8)
    .map(([pair, score]) => `${pair}: ${numberText(score)}`)
    .join(', ');
}
