/**
 * Take up a token's latent and its turned key, in place: in f32 at the end of the tail, where there is
 * one, and the token that leaves the window (or this one) in the form of the cache, with the codes
 * that kv-quant would give. The cache is never copied. One thread a word.
 */
import { AFFINE_WGSL } from '@mha2mla/kv-quant';
import { placeAt } from '../webgpu/latent-place';
import { type LatentShape, projectedSize, storedKey } from '../webgpu/latent-shape';
import { paramWords, storedWords, type VectorForm } from '../webgpu/vector-form';
import { ENTRY, GROUP, stepsAt, type WgslProgram } from '../webgpu/wgsl-program';
import { packStored } from './pack-stored';

/**
 * Bindings, the first two and the angles for each row of the batch: cache (see `latentLayout`), projected [N * (R + P) | K * R | groups * width of the last
 * segment], with rope dims angles [cos | sin] and pairs [K, R / 2], the bias [K * R] of keys that are
 * stored without, the place, the steps.
 */
export function appendLatent(shape: LatentShape): WgslProgram {
  const { heads, keyHeads, groups, ropeDim, nopeDim, widths, tail } = shape;
  const last = widths.length - 1;
  const width = widths[last]!;
  const keyWidth = keyHeads * ropeDim;
  const keys = heads * (ropeDim + nopeDim); // where the key begins in projected
  const latents = keys + keyWidth;
  const forms = { latent: shape.latentForms[last]!, key: shape.keyForms[last]! };
  const exact = tail === 'none' ? 0 : groups * width + keyWidth;
  const inTail = (part: string, row: string) => `place.tail_${part}[${last}] + ${row}`;
  const newest = `step.slot - step.first[${last}]`;
  const leaving = `step.packed - step.first[${last}]`;
  const tailRow = (token: string) => `(g * place.tail[${last}] + ${token}) * ${width}u`;
  const window = tail === 'window';
  const stored = [
    ...section('latent', forms.latent, width, groups, last),
    ...section('key', forms.key, keyWidth, 1, last),
  ];
  const count = exact + stored.reduce((sum, { words }) => sum + words, 0);
  const turns = ropeDim > 0;
  const biasApart = shape.biasApart[last]!;
  const bound = 2 + (turns ? 2 : 0) + (biasApart ? 1 : 0);
  const code = /* wgsl */ `
${AFFINE_WGSL}
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
${turns ? turned(shape, keys, biasApart) : ''}
fn latent_value(g : u32, c : u32) -> f32 {
  return ${
    window
      ? `bitcast<f32>(cache[${inTail('latents', `${tailRow(leaving)} + c`)}])`
      : `projected[projected_at + ${latents}u + g * ${width}u + c]`
  };
}
fn key_value(g : u32, c : u32) -> f32 {
  return ${
    !turns
      ? '0.0'
      : window
        ? `bitcast<f32>(cache[${inTail('keys', `(${leaving}) * ${keyWidth}u + c`)}])`
        : 'turned(c)'
  };
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
      cache[${inTail('latents', `${tailRow(`${newest}`)} + e % ${width}u`)}] =
        bitcast<u32>(projected[projected_at + ${latents}u + e]);
      return;
    }`
        : ''
    }
    ${
      turns
        ? `let i = e - ${groups * width}u;
    cache[${inTail('keys', `(${newest}) * ${keyWidth}u + i`)}] = bitcast<u32>(turned(i));`
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

/** Element i of the key, of pair (r, r + R / 2). */
function turned({ ropeDim, nopeDim }: LatentShape, keys: number, biasApart: boolean): string {
  const [half, allPairs] = [ropeDim / 2, (ropeDim + nopeDim) / 2];
  const key = (at: string) =>
    `projected[projected_at + ${keys}u + ${at}]${biasApart ? ` - key_bias[${at}]` : ''}`;
  return /* wgsl */ `
fn turned(i : u32) -> f32 {
  let k = i / ${ropeDim}u;
  let r = i % ${half}u;
  let pair = angles_at + pairs[k * ${half}u + r];
  let first = ${key(`k * ${ropeDim}u + r`)};
  let second = ${key(`k * ${ropeDim}u + r + ${half}u`)};
  let c = angles[pair];
  let s = angles[pair + ${allPairs}u];
  return select(second * c + first * s, first * c - second * s, i % ${ropeDim}u < ${half}u);
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
