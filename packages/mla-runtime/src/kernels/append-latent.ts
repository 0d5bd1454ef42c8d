/**
 * Write a token's latent and its turned key into the cache, in place, at the slot that the step says.
 * The cache is never copied. One thread an element of the latent, or a pair of the key.
 */
import { type LatentShape, latentKey, latentLayout } from '../webgpu/latent-shape';
import { ENTRY, GROUP, STEP, type WgslProgram } from '../webgpu/wgsl-program';

/**
 * Bindings: cache (see `latentLayout`), projected [N * (R + P) | K * R | groups * width of the last
 * segment], with rope dims angles [cos | sin] and pairs [K, R / 2], the step.
 */
export function appendLatent(shape: LatentShape): WgslProgram {
  const { heads, keyHeads, groups, ropeDim, nopeDim, widths, capacities } = shape;
  const layout = latentLayout(shape);
  const last = widths.length - 1;
  const [width, capacity] = [widths[last]!, capacities[last]!];
  const half = ropeDim / 2;
  const keys = heads * (ropeDim + nopeDim); // where the key begins in projected
  const latents = keys + keyHeads * ropeDim;
  const count = groups * width + keyHeads * half;
  const code = /* wgsl */ `
${STEP}
@group(0) @binding(0) var<storage, read_write> cache : array<f32>;
@group(0) @binding(1) var<storage, read> projected : array<f32>;
${
  ropeDim > 0
    ? `@group(0) @binding(2) var<storage, read> angles : array<f32>;
@group(0) @binding(3) var<storage, read> pairs : array<u32>;`
    : ''
}
@group(0) @binding(${ropeDim > 0 ? 4 : 2}) var<uniform> step : Step;

@compute @workgroup_size(64)
fn main(${ENTRY}) {
  ${GROUP}
  let e = group * 64u + thread;
  if (e >= ${count}u || step.slot >= ${capacity}u) { return; }
  ${
    width > 0
      ? `if (e < ${groups * width}u) {
    let g = e / ${width}u;
    cache[${layout.latents[last]}u + (g * ${capacity}u + step.slot) * ${width}u + e % ${width}u] =
      projected[${latents}u + e];
    return;
  }`
      : ''
  }
  ${
    ropeDim > 0
      ? `let at = e - ${groups * width}u;
  let k = at / ${half}u;
  let r = at % ${half}u;
  let pair = pairs[at];
  let first = projected[${keys}u + k * ${ropeDim}u + r];
  let second = projected[${keys}u + k * ${ropeDim}u + r + ${half}u];
  let c = angles[pair];
  let s = angles[pair + arrayLength(&angles) / 2u];
  let to = ${layout.keys[last]}u + (step.slot * ${keyHeads}u + k) * ${ropeDim}u + r;
  cache[to] = first * c - second * s;
  cache[to + ${half}u] = second * c + first * s;`
      : '_ = projected[0];'
  }
}`;
  return { key: `appendLatent ${latentKey(shape)}`, code, groups: Math.ceil(count / 64) };
}
