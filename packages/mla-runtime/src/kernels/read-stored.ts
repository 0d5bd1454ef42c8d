/** Reading of a stored vector in WGSL, codes turned into values in registers. */
import type { VectorForm } from '../webgpu/vector-form';
import { readStatic } from './static-stored';

/**
 * `name_at(codes, params, c)`: channel c of the vector whose words begin there in `cache`.
 * `name_dot(codes, params, q, begin, count)`: Σ query[q + i] * channel begin + i; a word of codes and
 * one of params is read once.
 */
export function readStored(name: string, form: VectorForm): string {
  const { method, bits, groupSize } = form;
  const at = `fn ${name}_at(codes : u32, params : u32, c : u32) -> f32`;
  const dot = `fn ${name}_dot(codes : u32, params : u32, q : u32, begin : u32, count : u32) -> f32`;
  const plainDot = /* wgsl */ `
${dot} {
  var sum = 0.0;
  for (var i = 0u; i < count; i++) { sum += query[q + i] * ${name}_at(codes, params, begin + i); }
  return sum;
}`;
  if (method === 'f32') {
    return /* wgsl */ `
${at} { return bitcast<f32>(cache[codes + c]); }${plainDot}`;
  }
  if (method === 'half') {
    return /* wgsl */ `
${at} { return half_value((cache[codes + c / 2u] >> (c % 2u * 16u)) & 0xffffu); }${plainDot}`;
  }
  if (method === 'static') return readStatic(name, form) + plainDot;
  const { mask, code, scale, zero } = method === 'int8' ? INT8 : affine(bits);
  const anyAt = /* wgsl */ `
${at} {
  let bit = c * ${bits}u;
  let shift = bit % 32u;
  var code = cache[codes + bit / 32u] >> shift;
  ${32 % bits === 0 ? '' : `if (shift > ${32 - bits}u) { code |= cache[codes + bit / 32u + 1u] << (32u - shift); }`}
  code &= ${mask};
  let param = cache[params + c / ${groupSize}u];
  return ${code} * ${scale} + ${zero};
}`;
  if (32 % bits !== 0) return anyAt + plainDot;
  const perWord = 32 / bits;
  return /* wgsl */ `${anyAt}
${dot} {
  var sum = 0.0;
  var word = 0u;
  var scale = 0.0;
  var zero = 0.0;
  for (var i = 0u; i < count; i++) {
    let c = begin + i;
    if (i == 0u || c % ${perWord}u == 0u) {
      word = cache[codes + c / ${perWord}u] >> (c % ${perWord}u * ${bits}u);
    }
    if (i == 0u || c % ${groupSize}u == 0u) {
      let param = cache[params + c / ${groupSize}u];
      scale = ${scale};
      zero = ${zero};
    }
    let code = word & ${mask};
    sum += query[q + i] * (${code} * scale + zero);
    word >>= ${bits}u;
  }
  return sum;
}`;
}

/** Of `code` and `param`: value = code * scale + zero. */
function affine(bits: number) {
  return {
    mask: `${2 ** bits - 1}u`,
    code: 'f32(code)',
    scale: 'half_value(param & 0xffffu)',
    zero: 'half_value(param >> 16u)',
  };
}

/** In two's complement. */
const INT8 = {
  mask: '255u',
  code: 'f32(bitcast<i32>(code << 24u) >> 24u)',
  scale: 'bitcast<f32>(param)',
  zero: '0.0',
};
