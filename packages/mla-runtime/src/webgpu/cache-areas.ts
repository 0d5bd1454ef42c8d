/** Where latents and rotary keys lie in a layer's copied cache. */
import type { TokenArea } from './copy-tokens';
import { type LatentRoom, type LatentShape, latentLayout } from './latent-shape';
import { paramWords, storedWords, type VectorForm } from './vector-form';

export type Areas = Record<'stored' | 'params' | 'tail', TokenArea>;

/** Those of segment `m`. */
export function areasOf(
  shape: LatentShape,
  room: LatentRoom,
  m: number,
): Record<'kvLatent' | 'kPe', Areas> {
  const layout = latentLayout(shape, room);
  const [capacity, tail] = [room.capacities[m]!, room.tails[m]!];
  const rowWords = layout.size;
  const areas = (form: VectorForm, width: number, starts: number[]) => ({
    stored: { start: starts[0]!, capacity, words: storedWords(form, width), rowWords },
    params: { start: starts[1]!, capacity, words: paramWords(form, width), rowWords },
    tail: { start: starts[2]!, capacity: tail, words: width, rowWords },
  });
  const { latents, latentParams, tailLatents, keys, keyParams, tailKeys } = layout;
  return {
    kvLatent: areas(shape.latentForms[m]!, shape.widths[m]!, [
      latents[m]!,
      latentParams[m]!,
      tailLatents[m]!,
    ]),
    kPe: areas(shape.keyForms[m]!, shape.keyHeads * shape.ropeDim, [
      keys[m]!,
      keyParams[m]!,
      tailKeys[m]!,
    ]),
  };
}
