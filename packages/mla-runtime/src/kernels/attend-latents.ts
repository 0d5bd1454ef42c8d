/**
 * Absorbed decode attention of one token over the cached latents of all segments (FORMULAS F7), in
 * its first half: a workgroup takes a head and a chunk of a segment's tokens and gives a partial
 * softmax, z = Σ exp(s − m) c, its mass l = Σ exp(s − m) and its maximum m. `expandValues` merges
 * them. Long contexts have more chunks, so that the device stays busy; no score leaves a workgroup.
 * Reads each latent twice, rows beyond a segment's length never.
 */
import { type LatentShape, latentKey, latentLayout, queryLayout } from '../webgpu/latent-shape';
import { ENTRY, GROUP, STEP, type WgslProgram } from '../webgpu/wgsl-program';

/** Tokens of a chunk: their scores take 1 KiB of shared memory. */
export const CHUNK = 256;
const THREADS = 64;

/** Elements of a partial result: the widest latent, mass and maximum. */
export function partialSize({ widths }: LatentShape): number {
  return Math.max(...widths) + 2;
}

/** Partial results that a full cache has, [chunks of all segments, N, partialSize]. */
export function mostChunks({ capacities }: LatentShape): number {
  return capacities.reduce((sum, capacity) => sum + Math.ceil(capacity / CHUNK), 0);
}

/**
 * Bindings: partials [chunks, N, partialSize], query (see `queryLayout`), cache (see
 * `latentLayout`), the step. `groups` are those of one chunk.
 */
export function attendLatents(shape: LatentShape): WgslProgram {
  const { heads, keyHeads, groups, ropeDim, widths, capacities } = shape;
  const query = queryLayout(shape);
  const cache = latentLayout(shape);
  const size = partialSize(shape);
  const widest = Math.max(...widths);
  const perSegment = (value: (m: number) => number) =>
    `select(${value(widths.length - 1)}u, ${value(0)}u, segment == 0u)`;
  const code = /* wgsl */ `
${STEP}
@group(0) @binding(0) var<storage, read_write> partials : array<f32>;
@group(0) @binding(1) var<storage, read> query : array<f32>;
@group(0) @binding(2) var<storage, read> cache : array<f32>;
@group(0) @binding(3) var<uniform> step : Step;

var<workgroup> score : array<f32, ${CHUNK}>;
var<workgroup> fold : array<f32, ${THREADS}>;

@compute @workgroup_size(${THREADS})
fn main(${ENTRY}) {
  ${GROUP}
  let h = group % ${heads}u;
  let chunk = group / ${heads}u;
  if (chunk >= step.chunks.x + step.chunks.y) { return; }
  let segment = select(1u, 0u, chunk < step.chunks.x);
  let start = (chunk - segment * step.chunks.x) * ${CHUNK}u;
  let count = min(step.lengths[segment] - start, ${CHUNK}u);
  let width = ${perSegment((m) => widths[m]!)};
  let a = ${perSegment((m) => query.absorbed[m]!)} + h * width;
  let rope = ${query.rope}u + h * ${ropeDim}u;
  let capacity = ${perSegment((m) => capacities[m]!)};
  let latents = ${perSegment((m) => cache.latents[m]!)} +
    (h * ${groups}u / ${heads}u * capacity + start) * width;
  let keys = ${perSegment((m) => cache.keys[m]!)} +
    (start * ${keyHeads}u + h * ${keyHeads}u / ${heads}u) * ${ropeDim}u;

  var most = -3.0e38;
  for (var t = thread; t < count; t += ${THREADS}u) {
    var s = query[${query.bias}u + h * ${widths.length}u + segment];
    for (var c = 0u; c < width; c++) { s += query[a + c] * cache[latents + t * width + c]; }
    for (var r = 0u; r < ${ropeDim}u; r++) {
      s += query[rope + r] * cache[keys + t * ${keyHeads * ropeDim}u + r];
    }
    score[t] = s;
    most = max(most, s);
  }
  fold[thread] = most;
  workgroupBarrier(); // scores and maxima of all threads
  for (var i = 0u; i < ${THREADS}u; i++) { most = max(most, fold[i]); }
  for (var t = thread; t < count; t += ${THREADS}u) { score[t] = exp(score[t] - most); }
  workgroupBarrier(); // a thread sums over the tokens of all

  let to = (chunk * ${heads}u + h) * ${size}u;
  for (var c = thread; c < width; c += ${THREADS}u) {
    var z = 0.0;
    for (var t = 0u; t < count; t++) { z += score[t] * cache[latents + t * width + c]; }
    partials[to + c] = z;
  }
  if (thread == 0u) {
    var mass = 0.0;
    for (var t = 0u; t < count; t++) { mass += score[t]; }
    partials[to + ${widest}u] = mass;
    partials[to + ${widest + 1}u] = most;
  }
}`;
  return { key: `attendLatents ${latentKey(shape)}`, code, groups: heads };
}
