/** Reading and packing of vectors in WGSL whose scales all tokens share: words of bands of channels. */
import { bandsOf } from '@mha2mla/kv-quant';
import type { VectorForm } from '../webgpu/vector-form';

/** `name_at(codes, params, c)`, where the scales of the vector begin at word `params`. */
export function readStatic(name: string, form: VectorForm): string {
  const returns = bandsOf(form, 0).map(({ bits, channels, first, word }) => {
    if (bits === 0) return '';
    const inBand = `if (c >= ${first}u && c < ${first + channels}u)`;
    return `${inBand} { return f32(${name}_code(codes + ${word}u, c - ${first}u, ${bits}u)) * scale + zero; }`;
  });
  return /* wgsl */ `
fn ${name}_code(codes : u32, place : u32, bits : u32) -> u32 {
  let bit = place * bits;
  let at = codes + bit / 32u;
  let shift = bit % 32u;
  var code = cache[at] >> shift;
  if (shift + bits > 32u) { code |= cache[at + 1u] << (32u - shift); }
  return code & ((1u << bits) - 1u);
}
fn ${name}_at(codes : u32, params : u32, c : u32) -> f32 {
  let scale = bitcast<f32>(cache[params + c]);
  let zero = bitcast<f32>(cache[params + ${form.table!.scales.length}u + c]);
  ${returns.join('\n  ')}
  return zero;
}`;
}

/** `name_word(g, j)`, over `name_value(g, c)` and `name_table(g)`, the word of the vector's first scale. */
export function packStatic(name: string, form: VectorForm): string {
  const returns = bandsOf(form, 0).map(({ bits, channels, first, word, words }) => {
    if (bits === 0) return '';
    const inBand = `if (j >= ${word}u && j < ${word + words}u)`;
    return `${inBand} { return ${name}_band_word(g, ${first}u, ${channels}u, ${bits}u, j - ${word}u); }`;
  });
  return /* wgsl */ `
fn ${name}_band_word(g : u32, first : u32, count : u32, bits : u32, j : u32) -> u32 {
  let bit = j * 32u;
  let end = min((bit + 31u) / bits + 1u, count);
  let levels = f32((1u << bits) - 1u);
  var word = 0u;
  for (var c = bit / bits; c < end; c++) {
    let at = ${name}_table(g) + first + c;
    let value = bitcast<u32>(${name}_value(g, first + c));
    let code = static_code(value, cache[at], cache[at + ${form.table!.scales.length}u], levels);
    if (c * bits >= bit) { word |= code << (c * bits - bit); }
    else { word |= code >> (bit - c * bits); }
  }
  return word;
}
fn ${name}_word(g : u32, j : u32) -> u32 {
  ${returns.join('\n  ')}
  return 0u;
}`;
}
