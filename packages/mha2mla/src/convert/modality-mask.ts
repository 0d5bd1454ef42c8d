import { TEXT, type TokenLayout, VISION } from '@mha2mla/mla-runtime';

export type Modality = 'vision' | 'text';

/** [B * L]: 1 where a token is of the modality. Padding is of none. */
export function modalityMask({ kinds }: TokenLayout, modality: Modality): Uint8Array {
  const wanted = modality === 'vision' ? VISION : TEXT;
  return Uint8Array.from(kinds, (kind) => (kind === wanted ? 1 : 0));
}
