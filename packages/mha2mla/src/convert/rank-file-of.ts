import { concatBytes, type RankFile } from '@mha2mla/checkpoint';
import { ranksFromScores } from '@mha2mla/partial-rope';
import type { LayerReport } from './conversion-report';

/**
 * The rank file that a conversion chose by: pairs that keep their rotation first, each part by its
 * scores, or in ascending order where there are none.
 */
export function rankFileOf(
  layers: readonly Pick<LayerReport, 'ropePairs' | 'pairScores'>[],
  headDim: number,
): RankFile {
  const ranks = layers.map((layer) => layerRanks(layer, headDim / 2));
  return {
    ranks: concatBytes(ranks),
    shape: [layers.length, layers[0]?.ropePairs.length ?? 0, headDim],
  };
}

function layerRanks(
  { ropePairs, pairScores }: Pick<LayerReport, 'ropePairs' | 'pairScores'>,
  half: number,
): Uint8Array {
  const places = new Float64Array(ropePairs.length * half);
  for (const [head, kept] of ropePairs.entries()) {
    const own = ranksFromScores(
      Float64Array.from(pairScores?.[head] ?? new Array(half).fill(0)),
      1,
    );
    for (let pair = 0; pair < half; pair++) {
      places[head * half + pair] = (kept.includes(pair) ? 2 * half : half) - own[pair]!;
    }
  }
  return ranksFromScores(places, ropePairs.length);
}
