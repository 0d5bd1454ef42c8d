/** Packing of a vector in WGSL, word by word, as kv-quant packs it. */
import { paramWgsl } from '@mha2mla/kv-quant';
import type { VectorForm } from '../webgpu/vector-form';
import { packStatic } from './static-stored';

/**
 * `name_word(g, j)`: word j of the codes of vector g, and `name_param(g, i)`: the params of its group
 * i, where it has some; by `name_value(g, c)`. A word computes the params of its groups anew, which is
 * cheaper than to wait for another thread.
 */
export function packStored(name: string, form: VectorForm, width: number): string {
  const { method, bits, groupSize } = form;
  const word = `fn ${name}_word(g : u32, j : u32) -> u32`;
  if (method === 'f32') {
    return `${word} { return bitcast<u32>(${name}_value(g, j)); }`;
  }
  if (method === 'half') {
    return /* wgsl */ `
fn ${name}_half(g : u32, c : u32) -> u32 {
  if (c >= ${width}u) { return 0u; }
  return half_nearest(bitcast<u32>(${name}_value(g, c)));
}
${word} { return ${name}_half(g, 2u * j) | (${name}_half(g, 2u * j + 1u) << 16u); }`;
  }
  if (method === 'static') return packStatic(name, form);
  const codeOf =
    method === 'int8' ? 'int8_code(value, param)' : `affine_code(value, param, ${2 ** bits - 1}.0)`;
  return /* wgsl */ `
fn ${name}_value_in(group : vec3<i32>, j : i32) -> f32 { return ${name}_value(u32(group.z), u32(group.x + j)); }
${paramWgsl({ method, bits }, `${name}_`)}
fn ${name}_param(g : u32, i : u32) -> u32 {
  let first = i * ${groupSize}u;
  return ${name}_param_of(vec3<i32>(vec3(first, min(${groupSize}u, ${width}u - first), g)));
}
${word} {
  let bit = j * 32u;
  let first = bit / ${bits}u;
  let end = min((bit + 31u) / ${bits}u + 1u, ${width}u);
  var word = 0u;
  var param = 0u;
  for (var c = first; c < end; c++) {
    if (c == first || c % ${groupSize}u == 0u) { param = ${name}_param(g, c / ${groupSize}u); }
    let value = ${name}_value(g, c);
    let code = ${codeOf};
    if (c * ${bits}u >= bit) { word |= code << (c * ${bits}u - bit); }
    else { word |= code >> (bit - c * ${bits}u); }
  }
  return word;
}`;
}
