/** The embeddings of a token a row of the batch: rows of a table, packed or f32. */
import { isIntegerFormat, VALUES_A_WORD, type WeightFormat } from '../webgpu/weight-format';
import { ENTRY, GROUP, type WgslProgram } from '../webgpu/wgsl-program';
import { PACKED_VALUE } from './packed-value';

export interface LookupShape {
  format: WeightFormat;
  /** Values that share a scale, of int8 and int4. */
  groupSize: number;
  width: number;
  /** Token of the table's first row, and number of rows. */
  first: number;
  outputs: number;
}

/**
 * Bindings: y [B, width], tokens [B] as u32, table [rows, words], scales of int8 and int4. A row is
 * left alone for a token of another part of the table.
 */
export function lookupRow({ format, groupSize, width, first, outputs }: LookupShape): WgslProgram {
  const perWord = VALUES_A_WORD[format];
  const scaled = isIntegerFormat(format);
  const scale = `* scales[at * ${Math.ceil(width / groupSize)}u + i / ${groupSize}u]`;
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> y : array<f32>;
@group(0) @binding(1) var<storage, read> tokens : array<u32>;
@group(0) @binding(2) var<storage, read> table : array<u32>;
${scaled ? '@group(0) @binding(3) var<storage, read> scales : array<f32>;' : ''}

fn value(word : u32, k : u32) -> f32 { ${PACKED_VALUE[format]} }

@compute @workgroup_size(64)
fn main(${ENTRY}) {
  ${GROUP}
  let i = group * 64u + thread;
  let at = tokens[row] - ${first}u; // beyond all rows where the token is before the first
  if (i >= ${width}u || at >= ${outputs}u) { return; }
  let word = table[at * ${Math.ceil(width / perWord)}u + i / ${perWord}u];
  y[row * ${width}u + i] = value(word, i % ${perWord}u) ${scaled ? scale : ''};
}`;
  return {
    key: `lookupRow ${format} ${scaled ? groupSize : ''} ${width} ${first} ${outputs}`,
    code,
    groups: Math.ceil(width / 64),
  };
}
