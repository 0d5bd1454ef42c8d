/** The embedding of the token that the device has chosen: one row of a table. */
import { ENTRY, GROUP, type WgslProgram } from '../webgpu/wgsl-program';

/** Bindings: row [width], table [rows, width], token [1] as u32; zeros for a token beyond the table. */
export function lookupRow(rows: number, width: number): WgslProgram {
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> row : array<f32>;
@group(0) @binding(1) var<storage, read> table : array<f32>;
@group(0) @binding(2) var<storage, read> token : array<u32>;

@compute @workgroup_size(64)
fn main(${ENTRY}) {
  ${GROUP}
  let i = group * 64u + thread;
  if (i >= ${width}u) { return; }
  if (token[0] < ${rows}u) { row[i] = table[token[0] * ${width}u + i]; } else { row[i] = 0.0; }
}`;
  return { key: `lookupRow ${rows} ${width}`, code, groups: Math.ceil(width / 64) };
}
