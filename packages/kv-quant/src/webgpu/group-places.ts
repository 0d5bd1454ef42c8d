/** Where a group's values and a value's parameters lie, in WGSL, by the axis that groups run along. */
import type { PackedLayout } from '../packed-layout';

const VALUE_IN = /* wgsl */ `
fn value_in(group : vec3<i32>, j : i32) -> f32 { return x[group.x + j * group.z]; }`;

/**
 * `group_of(i)`: first value of group i, their number, and the distance from one to the next;
 * `value_in(group, j)`: one of them.
 */
export const GROUP_OF = {
  token: /* wgsl */ `${VALUE_IN}
fn group_of(i : i32) -> vec3<i32> {
  let start = i % uniforms.groups * uniforms.groupSize;
  let row = i / uniforms.groups * uniforms.channels;
  return vec3(row + start, min(uniforms.groupSize, uniforms.channels - start), 1);
}`,
  channel: /* wgsl */ `${VALUE_IN}
fn group_of(i : i32) -> vec3<i32> {
  let group = i / uniforms.channels;
  let start = group % uniforms.groups * uniforms.groupSize;
  let token = group / uniforms.groups * uniforms.tokens + start;
  let count = min(uniforms.groupSize, uniforms.tokens - start);
  return vec3(token * uniforms.channels + i % uniforms.channels, count, uniforms.channels);
}`,
};

/** `param_at(row, c)`: the word of params of a row's channel. */
export const PARAM_AT = {
  token: /* wgsl */ `
fn param_at(row : i32, c : i32) -> i32 { return row * uniforms.groups + c / uniforms.groupSize; }`,
  channel: /* wgsl */ `
fn param_at(row : i32, c : i32) -> i32 {
  let group = row / uniforms.tokens * uniforms.groups + row % uniforms.tokens / uniforms.groupSize;
  return group * uniforms.channels + c;
}`,
};

/** `code_in(first, place, bits)`: one of the codes that begin at word `first`. */
export const CODE_IN = /* wgsl */ `
fn code_in(first : i32, place : i32, bits : i32) -> u32 {
  let bit = place * bits;
  let at = first + bit / 32;
  let shift = u32(bit % 32);
  var code = bitcast<u32>(codes[at]) >> shift;
  if (shift + u32(bits) > 32u) { code |= bitcast<u32>(codes[at + 1]) << (32u - shift); }
  return code & ((1u << u32(bits)) - 1u);
}`;

/** `code_at(row, c)`: the code of a row's channel, of `BITS` bits. */
export const CODE_AT = /* wgsl */ `${CODE_IN}
fn code_at(row : i32, c : i32) -> u32 { return code_in(row * uniforms.words, c, BITS); }`;

/**
 * `word_of(row, first, count, bits, place)`: a word of the codes of a row's channels, from `first` on
 * `count`, by `code_for(row, c)`. The codes at its ends may reach over.
 */
export const WORD_OF = /* wgsl */ `
fn word_of(row : i32, first : i32, count : i32, bits : i32, place : i32) -> i32 {
  let bit = place * 32;
  let end = min((bit + 31) / bits + 1, count);
  var word = 0u;
  for (var c = bit / bits; c < end; c++) {
    let code = code_for(row, first + c);
    let shift = c * bits - bit;
    word |= select(code >> u32(-shift), code << u32(shift), shift >= 0);
  }
  return bitcast<i32>(word);
}`;

/** Words of codes of `BITS` bits, one thread a word; by `code_for(row, c)`. */
export const CODE_WORDS = /* wgsl */ `${WORD_OF}
fn element(i : i32) -> i32 {
  return word_of(i / uniforms.words, 0, uniforms.channels, BITS, i % uniforms.words);
}`;

/** What programs of a layout read as uniforms and constants, and what their keys hold of it. */
export function describeLayout({
  axis,
  bits,
  channels,
  groupSize,
  paramRows,
  paramWidth,
  tokens,
  words,
}: PackedLayout) {
  const groups = axis === 'token' ? paramWidth : paramRows;
  return {
    axis,
    key: `${bits} ${axis}`,
    integers: { channels, groupSize, words, groups, tokens },
    constants: `const BITS = ${bits};\nconst LEVELS = ${2 ** bits - 1}.0;\n`,
  };
}
