/** Where latents, or values, and keys lie in a layer's copied cache. */
import type { CachedPart } from './attention-form';
import type { TokenArea } from './copy-tokens';
import { keyVectors, type LatentRoom, type LatentShape, latentLayout } from './latent-shape';
import { paramWords, storedWords, type VectorForm } from './vector-form';

/** Each of as many vectors a token. */
export type Areas = Record<'stored' | 'params' | 'tail', TokenArea> & { vectors: number };

/** Those of segment `m`. */
export function areasOf(
  shape: LatentShape,
  room: LatentRoom,
  m: number,
): Record<CachedPart, Areas> {
  const layout = latentLayout(shape, room);
  const [capacity, tail] = [room.capacities[m]!, room.tails[m]!];
  const rowWords = layout.size;
  const key = keyVectors(shape, m);
  const areas = (form: VectorForm, vectors: number, width: number, starts: number[]) => ({
    vectors,
    stored: { start: starts[0]!, capacity, words: storedWords(form, width), rowWords },
    params: { start: starts[1]!, capacity, words: paramWords(form, width), rowWords },
    tail: { start: starts[2]!, capacity: tail, words: width, rowWords },
  });
  const { latents, latentParams, tailLatents, keys, keyParams, tailKeys } = layout;
  return {
    latents: areas(shape.latentForms[m]!, shape.groups, shape.widths[m]!, [
      latents[m]!,
      latentParams[m]!,
      tailLatents[m]!,
    ]),
    keys: areas(shape.keyForms[m]!, key.count, key.width, [keys[m]!, keyParams[m]!, tailKeys[m]!]),
  };
}
