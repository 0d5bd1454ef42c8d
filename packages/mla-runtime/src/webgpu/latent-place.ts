/** Where a conversation's cache lies, as programs are told. */
import { type LatentRoom, type LatentShape, latentLayout, slotCount } from './latent-shape';

const PLACE = /* wgsl */ `
struct Place { // per segment
  capacity : vec2<u32>,
  tail : vec2<u32>,
  latents : vec2<u32>,
  latent_params : vec2<u32>,
  latent_tables : vec2<u32>,
  keys : vec2<u32>,
  key_params : vec2<u32>,
  tail_latents : vec2<u32>,
  tail_keys : vec2<u32>,
  cache_words : u32, // of a row of the batch
  partials : u32,    // of a row: words of its partial results
  slots : u32,       // of a row
}
var<private> place : Place;`;

/**
 * The layout as a uniform, which changes with a conversation where the programs do not; `place` is
 * that of a row of the batch, once set.
 */
export function placeAt(binding: number): string {
  return /* wgsl */ `${PLACE}
@group(0) @binding(${binding}) var<uniform> first_place : Place;
fn place_of(row : u32) -> Place {
  var own = first_place;
  let words = row * own.cache_words;
  own.latents += words;
  own.latent_params += words;
  own.latent_tables += words;
  own.keys += words;
  own.key_params += words;
  own.tail_latents += words;
  own.tail_keys += words;
  return own;
}
`;
}

/**
 * The words of a `Place`.
 * @param partials words of a row's partial results.
 */
export function placeWords(shape: LatentShape, room: LatentRoom, partials = 0): Uint32Array {
  const layout = latentLayout(shape, room);
  const { latents, latentParams, latentTables, keys, keyParams, tailLatents, tailKeys } = layout;
  const { capacities, tails } = room;
  const own = [latents, latentParams, latentTables, keys, keyParams, tailLatents, tailKeys];
  const parts = [capacities, tails, ...own];
  const words = parts.flatMap(([first, last = 0]) => [first!, last]);
  return Uint32Array.from([...words, layout.size, partials, slotCount(room), 0]);
}
