import type { Segment } from './attention';

/** Folder of a segment's latent projections, in names below `self_attn`. */
export const LATENT_FOLDERS: Readonly<Record<Segment, string>> = {
  all: 'kv_proj',
  vision: 'kv_proj_img',
  text: 'kv_proj_text',
};
