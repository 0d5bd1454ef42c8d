/**
 * The query of a token a row of the batch, ready for the cache. Over latents, per head and segment a =
 * Ukᵀ q_nope and, where the segments' key biases differ, their part of the score; and q_rope, turned,
 * over values with q_nope behind it. One thread an element.
 */
import {
  type HeadWidths,
  keyDim,
  latentKey,
  projectedSize,
  queryLayout,
} from '../webgpu/latent-shape';
import { ENTRY, GROUP, type WgslProgram } from '../webgpu/wgsl-program';

export interface AbsorbQueryOptions {
  /** 1 / sqrt(head dim). */
  scale: number;
  /** Whether each segment has a key bias, or a difference to the common one. */
  keyBias: readonly boolean[];
}

/**
 * Bindings, the first two and the angles for each row of the batch: query (see `queryLayout`),
 * projected [N * R | N * P | ...], then over latents, where there are nope dims, each segment's up
 * weight [K, P, width] that has a width, and each key bias [K, P] that there is; then, where there are
 * rope dims, angles [cos of all pairs | sin of all pairs] and pairs [K, R / 2].
 */
export function absorbQuery(shape: HeadWidths, options: AbsorbQueryOptions): WgslProgram {
  const { caches, heads, keyHeads, ropeDim, nopeDim, widths } = shape;
  const dim = keyDim(shape);
  const { scale, keyBias } = options;
  const layout = queryLayout(shape);
  const perKey = heads / keyHeads;
  const names: string[] = [];
  const absorbed = widths.flatMap((width, m) => {
    if (caches === 'values' || width === 0) return [];
    if (nopeDim > 0) names.push(`up${m}`);
    return `
  if (e < ${layout.absorbed[m]! + heads * width}u) {
    ${
      nopeDim === 0
        ? 'query[query_at + e] = 0.0;'
        : `let at = e - ${layout.absorbed[m]}u;
    let h = at / ${width}u;
    var sum = 0.0;
    for (var p = 0u; p < ${nopeDim}u; p++) {
      sum += nope(h, p) * up${m}[(h / ${perKey}u * ${nopeDim}u + p) * ${width}u + at % ${width}u];
    }
    query[query_at + e] = sum * ${scale};`
    }
    return;
  }`;
  });
  const biases = widths.map((_, m) => {
    if (!keyBias[m] || nopeDim === 0) return `case ${m}u: { sum = 0.0; }`;
    names.push(`bias${m}`);
    return `case ${m}u: {
      for (var p = 0u; p < ${nopeDim}u; p++) { sum += nope(h, p) * bias${m}[h / ${perKey}u * ${nopeDim}u + p]; }
    }`;
  });
  if (ropeDim > 0) names.push('angles');
  const declared = names.map(
    (name, i) => `@group(0) @binding(${i + 2}) var<storage, read> ${name} : array<f32>;`,
  );
  const [half, allPairs] = [ropeDim / 2, (ropeDim + nopeDim) / 2];
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> query : array<f32>;
@group(0) @binding(1) var<storage, read> projected : array<f32>;
${declared.join('\n')}
${ropeDim > 0 ? `@group(0) @binding(${names.length + 2}) var<storage, read> pairs : array<u32>;` : ''}

var<private> projected_at : u32; // of the row in projected
fn nope(h : u32, p : u32) -> f32 { return projected[projected_at + ${heads * ropeDim}u + h * ${nopeDim}u + p]; }

@compute @workgroup_size(64)
fn main(${ENTRY}) {
  ${GROUP}
  let e = group * 64u + thread;
  if (e >= ${layout.size}u) { return; }
  projected_at = row * ${projectedSize(shape)}u;
  let query_at = row * ${layout.size}u;
  ${absorbed.join('')}
  ${ropeDim === 0 ? '_ = projected[0];' : ''}
  ${
    dim === 0
      ? ''
      : `if (e < ${layout.bias}u) {
    let at = e - ${layout.key}u;
    let h = at / ${dim}u;
    let d = at % ${dim}u;
    ${
      dim === ropeDim
        ? ''
        : `if (d >= ${ropeDim}u) {
      query[query_at + e] = nope(h, d - ${ropeDim}u) * ${scale};
      return;
    }`
    }
    ${
      ropeDim === 0
        ? ''
        : `let r = d % ${half}u; // of the pair (r, r + R / 2)
    let pair = row * ${2 * allPairs}u + pairs[h / ${perKey}u * ${half}u + r];
    let first = projected[projected_at + h * ${ropeDim}u + r];
    let second = projected[projected_at + h * ${ropeDim}u + r + ${half}u];
    let c = angles[pair];
    let s = angles[pair + ${allPairs}u];
    let turned = select(second * c + first * s, first * c - second * s, d < ${half}u);
    query[query_at + e] = turned * ${scale};
    return;`
    }
  }`
  }
  let h = (e - ${layout.bias}u) / ${widths.length}u;
  var sum = 0.0;
  switch (e - ${layout.bias}u) % ${widths.length}u {
    ${biases.join('\n    ')}
    default: {}
  }
  query[query_at + e] = sum * ${scale};
}`;
  return {
    key: `absorbQuery ${latentKey(shape)} ${scale} ${keyBias}`,
    code,
    groups: Math.ceil(layout.size / 64),
  };
}
