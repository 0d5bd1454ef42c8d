/**
 * What is measured: answers over a cache, of each model as it is and converted and healed at two
 * sizes, stored in every form. Conversions and healings are those of `bench/healing`, first seed.
 */
import { BEST } from '../ablation/cells.js';
import { SIZES } from '../healing/cells.js';

/** By name, how an ordinary cache of keys and values may be stored. */
const ORIGINAL_FORMS = {
  'exact, float32': {},
  'half, 16 bits': { kvBits: 16 },
  'affine, 8 bits': { kvBits: 8 },
  'affine, 4 bits': { kvBits: 4 },
};

/** By name, how latents and rotary keys may be stored. */
const LATENT_FORMS = {
  ...ORIGINAL_FORMS,
  'affine, 8 bits, rotary keys in 16': { kvBits: 8, ropeBits: 16 },
  'affine, 4 bits, rotary keys in 4': { kvBits: 4, ropeBits: 4 },
};

/** @typedef {import('../ablation/cells.js').Cell & { heal?: object, cache?: object }} CacheCell */

/** @returns {CacheCell[]} in the order in which they are worth measuring. */
export function cacheCells() {
  const families = Object.keys(SIZES);
  const originals = families.map((family) => ({ family, table: 'answers', row: 'original' }));
  return [
    ...originals,
    ...families.flatMap((family) => formCells(ORIGINAL_FORMS, { family, table: 'original' })),
    ...families.flatMap((family) =>
      SIZES[family].slice(0, 2).flatMap(([[ropeDim, rank], steps]) =>
        formCells(LATENT_FORMS, {
          ...{ family, table: `${ropeDim} + ${rank}`, ropeDim, rank, seed: 0 },
          options: BEST,
          heal: steps ? { steps } : {},
        }),
      ),
    ),
  ];
}

function formCells(forms, cell) {
  return Object.entries(forms).map(([row, cache]) => ({ ...cell, row, cache }));
}
