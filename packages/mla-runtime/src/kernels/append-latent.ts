/**
 * Take up a token's latent, or values, and its key, in place: in f32 at the end of the tail, where
 * there is one, and the token that leaves the window (or this one) in the form of the cache, with the codes
 * that kv-quant would give. The cache is never copied. One thread a word.
 */
import { CODES_WGSL } from '@mha2mla/kv-quant';
import { placeAt } from '../webgpu/latent-place';
import {
  keyDim,
  keyVectors,
  type LatentShape,
  projectedSize,
  storedKey,
} from '../webgpu/latent-shape';
import { paramWords, storedWords, tableStride, type VectorForm } from '../webgpu/vector-form';
import { ENTRY, GROUP, stepsAt, type WgslProgram } from '../webgpu/wgsl-program';
import { packStored } from './pack-stored';

/**
 * Bindings, the first two and the angles for each row of the batch: cache (see `latentLayout`),
 * projected (see `projectedSize`), with rope dims angles [cos | sin] and pairs [K, R / 2], the bias
 * [K * R] of keys that are stored without, the place, the steps.
 */
export function appendLatent(shape: LatentShape): WgslProgram {
  const { heads, groups, ropeDim, nopeDim, widths, tail } = shape;
  const last = widths.length - 1;
  const width = widths[last]!;
  const key = keyVectors(shape, last);
  const keyWidth = key.width;
  const keyCount = key.count * keyWidth;
  const keys = heads * (ropeDim + nopeDim); // where the key begins in projected
  const latents = keys + keyCount;
  const forms = { latent: shape.latentForms[last]!, key: shape.keyForms[last]! };
  const exact = tail === 'none' ? 0 : groups * width + keyCount;
  const inTail = (part: string, row: string) => `place.tail_${part}[${last}] + ${row}`;
  const newest = `step.slot - step.first[${last}]`;
  const leaving = `step.packed - step.first[${last}]`;
  const tailRow = (token: string, width: number) =>
    `(g * place.tail[${last}] + ${token}) * ${width}u`;
  const window = tail === 'window';
  const stored = [
    ...section('latent', forms.latent, width, groups, last),
    ...section('key', forms.key, keyWidth, key.count, last),
  ];
  const count = exact + stored.reduce((sum, { words }) => sum + words, 0);
  const turns = ropeDim > 0;
  const biasApart = shape.biasApart[last]!;
  const bound = 2 + (turns ? 2 : 0) + (biasApart ? 1 : 0);
  const code = /* wgsl */ `
${CODES_WGSL}
@group(0) @binding(0) var<storage, read_write> cache : array<u32>;
@group(0) @binding(1) var<storage, read> projected : array<f32>;
${
  turns
    ? `@group(0) @binding(2) var<storage, read> angles : array<f32>;
@group(0) @binding(3) var<storage, read> pairs : array<u32>;`
    : ''
}
${biasApart ? '@group(0) @binding(4) var<storage, read> key_bias : array<f32>;' : ''}
${placeAt(bound)}${stepsAt(bound + 1)}
var<private> projected_at : u32; // of the row in projected
var<private> angles_at : u32; // of the row in angles
${keyWidth > 0 ? newKey(shape, keys, biasApart) : ''}
fn latent_value(g : u32, c : u32) -> f32 {
  return ${
    window
      ? `bitcast<f32>(cache[${inTail('latents', `${tailRow(leaving, width)} + c`)}])`
      : `projected[projected_at + ${latents}u + g * ${width}u + c]`
  };
}
fn key_value(g : u32, c : u32) -> f32 {
  return ${
    keyWidth === 0
      ? '0.0'
      : window
        ? `bitcast<f32>(cache[${inTail('keys', `${tailRow(leaving, keyWidth)} + c`)}])`
        : `new_key(g * ${keyWidth}u + c)`
  };
}
fn latent_table(g : u32) -> u32 {
  return place.latent_tables[${last}] + g * ${tableStride(forms.latent, width)}u;
}
${packStored('latent', forms.latent, width)}
${packStored('key', forms.key, keyWidth)}

@compute @workgroup_size(64)
fn main(${ENTRY}) {
  ${GROUP}
  _ = projected[0];
  step = steps[row];
  place = place_of(row);
  projected_at = row * ${projectedSize(shape)}u;
  angles_at = row * ${ropeDim + nopeDim}u;
  var e = group * 64u + thread;
  if (e >= ${count}u) { return; }
  ${
    tail !== 'none'
      ? `
  if (e < ${exact}u) {
    if (${newest} >= place.tail[${last}]) { return; }
    ${
      width > 0
        ? `if (e < ${groups * width}u) {
      let g = e / ${width}u;
      cache[${inTail('latents', `${tailRow(newest, width)} + e % ${width}u`)}] =
        bitcast<u32>(projected[projected_at + ${latents}u + e]);
      return;
    }`
        : ''
    }
    ${
      keyWidth > 0
        ? `let i = e - ${groups * width}u;
    let g = i / ${keyWidth}u;
    cache[${inTail('keys', `${tailRow(newest, keyWidth)} + i % ${keyWidth}u`)}] =
      bitcast<u32>(new_key(i));`
        : ''
    }
    return;
  }
  e -= ${exact}u;`
      : ''
  }
  if (step.packed >= place.capacity[${last}]) { return; }
  ${stored.map(({ code }) => code).join('')}
}`;
  return { key: `appendLatent ${storedKey(shape)}`, code, groups: Math.ceil(count / 64) };
}

/** `new_key(i)`: element i of the keys of all heads; those of a pair (r, r + R / 2) are turned. */
function newKey(shape: LatentShape, keys: number, biasApart: boolean): string {
  const { keyHeads, ropeDim, nopeDim } = shape;
  const dim = keyDim(shape);
  const [half, allPairs] = [ropeDim / 2, (ropeDim + nopeDim) / 2];
  const key = (at: string) =>
    `projected[projected_at + ${keys}u + ${at}]${biasApart ? ` - key_bias[${at}]` : ''}`;
  const notTurned = keys + keyHeads * ropeDim; // where those dims begin in projected
  return /* wgsl */ `
fn new_key(i : u32) -> f32 {
  let k = i / ${dim}u;
  let d = i % ${dim}u;
  ${dim === ropeDim ? '' : `if (d >= ${ropeDim}u) { return projected[projected_at + ${notTurned}u + k * ${nopeDim}u + d - ${ropeDim}u]; }`}
  ${
    ropeDim === 0
      ? 'return 0.0;'
      : `let r = d % ${half}u;
  let pair = angles_at + pairs[k * ${half}u + r];
  let first = ${key(`k * ${ropeDim}u + r`)};
  let second = ${key(`k * ${ropeDim}u + r + ${half}u`)};
  let c = angles[pair];
  let s = angles[pair + ${allPairs}u];
  return select(second * c + first * s, first * c - second * s, d < ${half}u);`
  }
}`;
}

/** Threads that write the codes of a part, then those that write its params. */
function section(
  name: 'latent' | 'key',
  form: VectorForm,
  width: number,
  groups: number,
  segment: number,
): { words: number; code: string }[] {
  const kinds = [
    { place: `${name}s`, value: 'word', row: storedWords(form, width) },
    { place: `${name}_params`, value: 'param', row: paramWords(form, width) },
  ];
  return kinds
    .filter(({ row }) => row > 0)
    .map(({ place, value, row }) => ({
      words: groups * row,
      code: /* wgsl */ `
  if (e < ${groups * row}u) {
    let g = e / ${row}u;
    cache[place.${place}[${segment}] + (g * place.capacity[${segment}] + step.packed) * ${row}u + e % ${row}u] =
      ${name}_${value}(g, e % ${row}u);
    return;
  }
  e -= ${groups * row}u;`,
    }));
}
