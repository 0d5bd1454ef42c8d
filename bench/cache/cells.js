/**
 * What is measured: answers over a cache, of each model as it is and converted and healed at several
 * sizes, in every method and width. Conversions and healings are those of `bench/healing`, first
 * seed; where a quarter of a GQA model's cache is kept, another conversion, too.
 */
import { BEST } from '../ablation/cells.js';
import { SIZES } from '../healing/cells.js';

/**
 * Bits that each method is measured with: a method that the runtime gets is a line here. HQQ of 8
 * bits is left out: it differs from affine by less than either loses.
 */
const METHODS = {
  affine: [8, 4, 3, 2],
  hqq: [4, 3, 2],
  kivi: [8, 4, 3, 2],
  'lloyd-max': [4, 3, 2],
  int8: [8],
};

const HALF = form('half', 16);
const WIDTHS = Object.entries(METHODS).flatMap(([method, all]) =>
  all.map((bits) => form(method, bits)),
);

/** Rotary keys have 8 bits beside fewer of latents, unless said. */
const SMALL = [
  form('affine', 4, { ropeBits: 4 }),
  form('lloyd-max', 4, { ropeBits: 4 }),
  form('lloyd-max', 2, { ropeBits: 4 }),
  form('kivi', 4, { ropeBits: 4 }),
];
const ROTARY = [
  form('affine', 8, { ropeBits: 16 }),
  ...['affine', 'lloyd-max', 'kivi'].map((method) => form(method, 3, { ropeBits: 4 })),
  form('affine', 2, { ropeBits: 4 }),
  form('lloyd-max', 2, { ropeBits: 2 }),
];
/** Scales of latents fitted to the model that is asked. */
const FITTED = [
  form('static', 4, { ropeBits: 4 }),
  ...[4, 3, 2].map((bits) => form('bands', bits, { ropeBits: 4 })),
];
/** The newest tokens of each modality exact, besides; these prompts have 40 to 100. */
const RESIDUAL = [4, 16].map((residualLength) =>
  form('affine', 2, { ropeBits: 4, residualLength }),
);

/** Of every model: 3 bits are left out, as rows of 16 and 24 channels take whole words. */
const FEW_FORMS = [HALF, ...SMALL, WIDTHS.find(([row]) => row === 'affine, 4 bits')];
const MORE_FORMS = [...WIDTHS, ...ROTARY, ...RESIDUAL].filter((one) => !FEW_FORMS.includes(one));

/**
 * Sizes whose latents are stored in all forms: where each head has keys of its own, some of them are
 * more than 20 times smaller than the original's cache; else, about 10 times.
 */
const MAIN = { llava: '4 + 4', llava_next: '8 + 16', qwen2_5_vl: '8 + 16' };

/** What the ablation found best where little is kept; healed for as long as the third sizes are. */
const MEASURED = { init: 'attention', center: true, allocation: 'measured' };

/** @typedef {import('../ablation/cells.js').Cell & { heal?: object, cache?: object }} CacheCell */

/** @returns {CacheCell[]} in the order in which they are worth measuring. */
export function cacheCells() {
  const families = Object.keys(SIZES);
  const answers = families.map((family) => ({ family, table: 'answers', row: 'original' }));
  const originals = families.map((family) => ({ family, table: 'original' }));
  const healed = families.flatMap((family) =>
    SIZES[family].slice(0, 2).map((size) => healedModel(family, size)),
  );
  const isMain = ({ family, table }) => MAIN[family] === table;
  const measured = families
    .filter((family) => family !== 'llava')
    .map((family) => healedModel(family, [SIZES[family][1][0], 900], ', measured ranks', MEASURED));
  const cells = (models, forms) => models.flatMap((model) => formCells(forms, model));
  return [
    ...answers,
    ...cells(healed, FEW_FORMS),
    ...cells(originals, [['exact, float32', {}], HALF, ...WIDTHS]),
    ...cells(healed.filter(isMain), MORE_FORMS),
    ...cells(measured, FEW_FORMS),
    ...cells([...healed, ...measured], FITTED),
  ];
}

function healedModel(family, [[ropeDim, rank], steps], name = '', options = {}) {
  return {
    ...{ family, table: `${ropeDim} + ${rank}${name}`, ropeDim, rank, seed: 0 },
    options: { ...BEST, ...options },
    heal: steps ? { steps } : {},
  };
}

/** A row's name and its options. */
function form(kvMethod, kvBits, more = {}) {
  const { ropeBits, residualLength } = more;
  const name = [
    `${kvMethod}, ${kvBits} bits`,
    ropeBits && `rotary keys in ${ropeBits}`,
    residualLength && `newest ${residualLength} exact`,
  ];
  const method = kvMethod === 'half' ? {} : { kvMethod };
  return [name.filter(Boolean).join(', '), { ...method, kvBits, ...more }];
}

function formCells(forms, cell) {
  return forms.map(([row, cache]) => ({ ...cell, row, cache }));
}
