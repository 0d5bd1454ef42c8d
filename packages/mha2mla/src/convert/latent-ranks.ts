/** How wide the latents of a converted model are: for each modality and layer, dims a KV head. */
import type { Modality } from './modality-mask';

/** By modality a rank for each layer, in latent dims a KV head; equal where they share a latent. */
export type LatentRanks = Record<Modality, readonly number[]>;

/** One rank for all. */
export function uniformRanks(rank: number, layers: number): LatentRanks {
  return { vision: new Array(layers).fill(rank), text: new Array(layers).fill(rank) };
}

/** The one rank that all latents have, or `undefined` where they differ. */
export function uniformRankOf({ vision, text }: LatentRanks): number | undefined {
  const [first] = vision;
  return [...vision, ...text].every((rank) => rank === first) ? first : undefined;
}

/**
 * Check given ranks against a model.
 * @param widest the highest rank that a latent can have.
 * @param decouple whether each modality has a latent of its own.
 * @throws RangeError
 */
export function checkLatentRanks(
  { vision, text }: LatentRanks,
  { layers, widest, decouple }: { layers: number; widest: number; decouple: boolean },
): void {
  for (const [modality, ranks] of Object.entries({ vision, text })) {
    if (ranks.length !== layers) {
      throw new RangeError(
        `planConversion: latentRanks.${modality} must list ${layers} layers, got ${ranks.length}.`,
      );
    }
    const wrong = ranks.findIndex((r) => !(Number.isSafeInteger(r) && r >= 1 && r <= widest));
    if (wrong >= 0) {
      throw new RangeError(
        `planConversion: latentRanks must be integers from 1 to ${widest} (latent dims a KV head), got ${ranks[wrong]} for ${modality} in layer ${wrong}.`,
      );
    }
  }
  const apart = vision.findIndex((rank, layer) => rank !== text[layer]);
  if (decouple || apart < 0) return;
  throw new RangeError(
    `planConversion: latentRanks must be equal where both modalities share a latent, got vision=${vision[apart]}, text=${text[apart]} in layer ${apart}.`,
  );
}
