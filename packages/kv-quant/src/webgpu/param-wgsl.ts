/**
 * The word of params of a group in WGSL, by the method. A group is what `value_in(group, j)` makes of
 * it, but for its number of values, `group.y`.
 */
import type { QuantSpec } from '../quant-spec';
import { hqqFit } from './hqq-wgsl';

/** `largest_of(group)`: bits of the largest magnitude; those of infinity or NaN if one is not finite. */
export function largestOf(prefix = ''): string {
  return /* wgsl */ `
fn ${prefix}largest_of(group : vec3<i32>) -> u32 {
  var largest = 0u;
  for (var j = 0; j < group.y; j++) {
    largest = max(largest, bitcast<u32>(${prefix}value_in(group, j)) & 0x7fffffffu);
  }
  return largest;
}`;
}

/** Scale and zero point that span a group; bits of NaN in both halves where a value is not finite. */
function spanOf(prefix: string, levels: string): string {
  return /* wgsl */ `
fn ${prefix}span_of(group : vec3<i32>) -> u32 {
  var least = 0xffffffffu;
  var most = 0u;
  for (var j = 0; j < group.y; j++) {
    let bits = bitcast<u32>(${prefix}value_in(group, j));
    if (!is_finite(bits)) { return NAN_PARAM; }
    least = min(least, sortable(bits));
    most = max(most, sortable(bits));
  }
  return affine_param(least, most, ${levels});
}`;
}

/**
 * `param_of(group)`, over `CODES_WGSL` and `value_in(group, j)`.
 * @param prefix of all these names, for programs that pack several vectors.
 */
export function paramWgsl(
  { method, bits }: { method: QuantSpec['method']; bits: number },
  prefix = '',
): string {
  const paramOf = `fn ${prefix}param_of(group : vec3<i32>) -> u32`;
  if (method === 'int8') {
    return /* wgsl */ `${largestOf(prefix)}
${paramOf} { return int8_param(${prefix}largest_of(group)); }`;
  }
  const levels = `${2 ** bits - 1}.0`;
  const span = spanOf(prefix, levels);
  if (method === 'hqq') return span + hqqFit(prefix, levels);
  return /* wgsl */ `${span}
${paramOf} { return ${prefix}span_of(group); }`;
}
