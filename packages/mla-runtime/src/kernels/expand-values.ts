/**
 * The second half of absorbed decode attention: merge the partial softmaxes of all chunks by
 * log-sum-exp and apply the value projections of latents, o = Σ_m (Uv_m z_m + bv_m w_m); values stay
 * as they are. A workgroup a head of a row; latents are merged 64 at a time in shared memory, so any width does.
 */
import { placeAt } from '../webgpu/latent-place';
import { type HeadWidths, latentKey } from '../webgpu/latent-shape';
import { ENTRY, GROUP, stepsAt, type WgslProgram } from '../webgpu/wgsl-program';
import { partialSize } from './attend-latents';

const THREADS = 64;

/**
 * Bindings: output [B, N * V], of each row partials [chunks, N, partialSize], of latents each segment's
 * up weight [K, width, V] that has a width, each value bias [N, V] that there is, the place, the steps.
 * Zeros where nothing is cached.
 * @param valueBias whether each segment has one.
 */
export function expandValues(shape: HeadWidths, valueBias: readonly boolean[]): WgslProgram {
  const { caches, heads, keyHeads, valueDim, widths } = shape;
  const perKey = heads / keyHeads;
  const size = partialSize(shape);
  const widest = Math.max(...widths);
  const rounds = Math.ceil(valueDim / THREADS);
  const names = [
    ...widths.flatMap((width, m) => (caches === 'latents' && width > 0 ? [`up${m}`] : [])),
    ...valueBias.flatMap((has, m) => (has ? [`bias${m}`] : [])),
  ];
  const declared = names.map(
    (name, i) => `@group(0) @binding(${i + 2}) var<storage, read> ${name} : array<f32>;`,
  );
  const segments = widths.map((width, m) => {
    const [from, to] = m === 0 ? ['0u', 'first'] : ['first', 'chunks'];
    return /* wgsl */ `
  for (var base = 0u; base < ${width}u; base += ${THREADS}u) {
    let c = base + thread;
    var z = 0.0;
    if (c < ${width}u) {
      for (var s = ${from}; s < ${to}; s++) { z += factor(s, h, most) * partials[partial_at(s, h) + c]; }
    }
    ${
      caches === 'values'
        ? `out[base / ${THREADS}u] = z / total;`
        : `workgroupBarrier(); // the last 64 have been used
    merged[thread] = z / total;
    workgroupBarrier();
    for (var j = 0u; j < ${rounds}u; j++) {
      let v = j * ${THREADS}u + thread;
      if (v >= ${valueDim}u) { break; }
      for (var i = 0u; i < min(${THREADS}u, ${width}u - base); i++) {
        out[j] += merged[i] * ${width > 0 ? `up${m}[(k * ${width}u + base + i) * ${valueDim}u + v]` : '0.0'};
      }
    }`
    }
  }
  ${
    valueBias[m]
      ? `
  var mass${m} = 0.0;
  for (var s = ${from}; s < ${to}; s++) { mass${m} += factor(s, h, most) * partials[partial_at(s, h) + ${widest}u]; }
  for (var j = 0u; j < ${rounds}u; j++) {
    let v = j * ${THREADS}u + thread;
    if (v < ${valueDim}u) { out[j] += mass${m} / total * bias${m}[h * ${valueDim}u + v]; }
  }`
      : ''
  }`;
  });
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> output : array<f32>;
@group(0) @binding(1) var<storage, read> partials : array<f32>;
${declared.join('\n')}
${placeAt(names.length + 2)}${stepsAt(names.length + 3)}
var<private> partials_at : u32; // of the row in partials

var<workgroup> merged : array<f32, ${THREADS}>;

fn partial_at(s : u32, h : u32) -> u32 { return partials_at + (s * ${heads}u + h) * ${size}u; }
fn factor(s : u32, h : u32, most : f32) -> f32 {
  return exp(partials[partial_at(s, h) + ${widest + 1}u] - most);
}

@compute @workgroup_size(${THREADS})
fn main(${ENTRY}) {
  ${GROUP}
  if (group >= ${heads}u) { return; }
  let h = group;
  step = steps[row];
  partials_at = row * first_place.partials;
  let k = h / ${perKey}u;
  let first = step.chunks.x + step.chunks.y; // chunks of the first segment
  let chunks = first + step.chunks.z + step.chunks.w;
  var most = -3.0e38;
  for (var s = 0u; s < chunks; s++) { most = max(most, partials[partial_at(s, h) + ${widest + 1}u]); }
  var total = 0.0;
  for (var s = 0u; s < chunks; s++) { total += factor(s, h, most) * partials[partial_at(s, h) + ${widest}u]; }
  if (chunks == 0u) { total = 1.0; }
  var out : array<f32, ${rounds}>;
  ${segments.join('')}
  for (var j = 0u; j < ${rounds}u; j++) {
    let v = j * ${THREADS}u + thread;
    if (v < ${valueDim}u) { output[(row * ${heads}u + h) * ${valueDim}u + v] = out[j]; }
  }
}`;
  return {
    key: `expandValues ${latentKey(shape)} ${valueBias}`,
    code,
    groups: heads,
  };
}
