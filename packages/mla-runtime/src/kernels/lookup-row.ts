/** The embeddings of a token a row of the batch: rows of a table, packed or f32. */
import { isIntegerFormat, type PackedForm, VALUES_A_WORD } from '../webgpu/weight-format';
import { ENTRY, GROUP, type WgslProgram } from '../webgpu/wgsl-program';
import { scaledValue, scalesKey, valueFunctions } from './packed-value';

export interface LookupShape extends PackedForm {
  width: number;
  /** Token of the table's first row, and number of rows. */
  first: number;
  outputs: number;
}

/**
 * Bindings: y [B, width], tokens [B] as u32, table [rows, words], scales of int8 and int4. A row is
 * left alone for a token of another part of the table.
 */
export function lookupRow(shape: LookupShape): WgslProgram {
  const { format, groupSize, zeroPoints, width, first, outputs } = shape;
  const perWord = VALUES_A_WORD[format];
  const scale = `scales[at * ${Math.ceil(width / groupSize)}u + i / ${groupSize}u]`;
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> y : array<f32>;
@group(0) @binding(1) var<storage, read> tokens : array<u32>;
@group(0) @binding(2) var<storage, read> table : array<u32>;
${isIntegerFormat(format) ? `@group(0) @binding(3) var<storage, read> scales : array<${zeroPoints ? 'u32' : 'f32'}>;` : ''}

${valueFunctions(shape)}

@compute @workgroup_size(64)
fn main(${ENTRY}) {
  ${GROUP}
  let i = group * 64u + thread;
  let at = tokens[row] - ${first}u; // beyond all rows where the token is before the first
  if (i >= ${width}u || at >= ${outputs}u) { return; }
  let word = table[at * ${Math.ceil(width / perWord)}u + i / ${perWord}u];
  y[row * ${width}u + i] = ${scaledValue(shape, 'word', `i % ${perWord}u`, scale)};
}`;
  return {
    key: `lookupRow ${format} ${scalesKey(shape)} ${width} ${first} ${outputs}`,
    code,
    groups: Math.ceil(width / 64),
  };
}
