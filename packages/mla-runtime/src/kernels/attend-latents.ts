/**
 * Decode attention of a token a row of the batch over the cached latents of all segments, absorbed
 * (FORMULAS F7), or over keys and values, in its first half: a workgroup takes a head of a row and a
 * chunk of a segment's tokens, stored or of the exact window, and gives a partial softmax, z = Σ exp(s − m) c, its mass l = Σ exp(s − m) and its maximum
 * m. `expandValues` merges them. Long contexts have more chunks, so that the device stays busy; no
 * score leaves a workgroup. Reads each latent twice, in the form that it is stored in, and rows beyond
 * a segment's length never.
 */
import { CODES_WGSL } from '@mha2mla/kv-quant';
import { placeAt } from '../webgpu/latent-place';
import {
  type HeadWidths,
  keyDim,
  keyVectors,
  type LatentRoom,
  type LatentShape,
  queryLayout,
  storedKey,
} from '../webgpu/latent-shape';
import { F32_FORM, paramWords, storedWords, tableStride } from '../webgpu/vector-form';
import { ENTRY, GROUP, stepsAt, type WgslProgram } from '../webgpu/wgsl-program';
import { readStored } from './read-stored';

/** Tokens of a chunk: their scores take 1 KiB of shared memory. */
export const CHUNK = 256;
const THREADS = 64;

/** Elements of a partial result: the widest latent, mass and maximum. */
export function partialSize({ widths }: HeadWidths): number {
  return Math.max(...widths) + 2;
}

/** Chunks of all segments that a full cache has. */
export function mostChunks({ capacities, tails }: LatentRoom): number {
  return [...capacities, ...tails].reduce((sum, count) => sum + Math.ceil(count / CHUNK), 0);
}

/**
 * Bindings, for each row of the batch but the pairs and the bias: partials [chunks, N, partialSize], query (see `queryLayout`), cache (see
 * `latentLayout`), where keys are stored without their bias that bias [K * R], pairs [K, R / 2] and
 * the angles of all slots (see `slotAngles`), the place, the steps. `groups` are those of one chunk.
 */
export function attendLatents(shape: LatentShape): WgslProgram {
  const { heads, widths } = shape;
  const query = queryLayout(shape);
  const size = partialSize(shape);
  const widest = Math.max(...widths);
  const runs = widths.flatMap((_, m) => [
    { run: 2 * m, code: readRun(shape, m, false) },
    ...(shape.tail === 'window' ? [{ run: 2 * m + 1, code: readRun(shape, m, true) }] : []),
  ]);
  const biasApart = shape.biasApart.includes(true);
  const perRun = (call: string) =>
    runs.map(({ run }) => `case ${run}u: { return ${call.replaceAll('#', `${run}`)}; }`).join(' ');
  const code = /* wgsl */ `
${CODES_WGSL}
@group(0) @binding(0) var<storage, read_write> partials : array<f32>;
@group(0) @binding(1) var<storage, read> query : array<f32>;
@group(0) @binding(2) var<storage, read> cache : array<u32>;
${biasApart ? keyBias(shape) : ''}
${placeAt(biasApart ? 6 : 3)}${stepsAt(biasApart ? 7 : 4)}
var<private> query_at : u32; // of the row in query
var<private> slots_at : u32; // of the row in slot_angles

var<workgroup> score : array<f32, ${CHUNK}>;
var<workgroup> fold : array<f32, ${THREADS}>;
${runs.map(({ code }) => code).join('')}
fn score_of(run : u32, h : u32, t : u32) -> f32 { switch run { ${perRun('score#(h, t)')} default: { return 0.0; } } }
fn latent_of(run : u32, h : u32, t : u32, c : u32) -> f32 { switch run { ${perRun('latent#(h, t, c)')} default: { return 0.0; } } }

@compute @workgroup_size(${THREADS})
fn main(${ENTRY}) {
  ${GROUP}
  let h = group % ${heads}u;
  let chunk = group / ${heads}u;
  var run = 0u;
  var start = chunk; // in chunks of the run
  let chunks = steps[row].chunks; // uniform, as barriers follow
  while (run < 4u && start >= chunks[run]) {
    start -= chunks[run];
    run++;
  }
  if (run == 4u) { return; }
  step = steps[row];
  place = place_of(row);
  query_at = row * ${query.size}u;
  slots_at = row * place.slots;
  start *= ${CHUNK}u;
  let segment = run / 2u;
  let length = select(step.window[segment], step.stored[segment], run % 2u == 0u);
  let count = min(length - start, ${CHUNK}u);
  let width = select(${widths.at(-1)}u, ${widths[0]}u, segment == 0u);
  let bias = query[query_at + ${query.bias}u + h * ${widths.length}u + segment];

  var most = -3.0e38;
  for (var t = thread; t < count; t += ${THREADS}u) {
    let s = bias + score_of(run, h, start + t);
    score[t] = s;
    most = max(most, s);
  }
  fold[thread] = most;
  workgroupBarrier(); // scores and maxima of all threads
  for (var i = 0u; i < ${THREADS}u; i++) { most = max(most, fold[i]); }
  for (var t = thread; t < count; t += ${THREADS}u) { score[t] = exp(score[t] - most); }
  workgroupBarrier(); // a thread sums over the tokens of all

  let to = row * place.partials + (chunk * ${heads}u + h) * ${size}u;
  for (var c = thread; c < width; c += ${THREADS}u) {
    var z = 0.0;
    for (var t = 0u; t < count; t++) { z += score[t] * latent_of(run, h, start + t, c); }
    partials[to + c] = z;
  }
  if (thread == 0u) {
    var mass = 0.0;
    for (var t = 0u; t < count; t++) { mass += score[t]; }
    partials[to + ${widest}u] = mass;
    partials[to + ${widest + 1}u] = most;
  }
}`;
  return { key: `attendLatents ${storedKey(shape)}`, code, groups: heads };
}

/** `score<run>(h, t)` and `latent<run>(h, t, c)` of token t of a segment's stored tokens or window. */
function readRun(shape: LatentShape, m: number, window: boolean): string {
  const { heads, keyHeads, groups, widths } = shape;
  const query = queryLayout(shape);
  const [width, dim, keys] = [widths[m]!, keyDim(shape), keyVectors(shape, m)];
  const form = { latent: shape.latentForms[m]!, key: shape.keyForms[m]! };
  if (window) form.latent = form.key = F32_FORM;
  const run = 2 * m + (window ? 1 : 0);
  const row = window ? `(t + step.stored[${m}] - step.first[${m}])` : 't';
  const area = (part: string) => `place.${window ? 'tail_' : ''}${part}[${m}]`;
  const capacity = window ? `place.tail[${m}]` : `place.capacity[${m}]`;
  const vector = (part: string, words: number, head: string) =>
    words === 0 ? '0u' : `${area(part)} + (${head}${row}) * ${words}u`;
  const vectorOf = (count: number) => `h * ${count}u / ${heads}u * ${capacity} + `;
  const latent = [
    vector('latents', storedWords(form.latent, width), vectorOf(groups)),
    form.latent.table
      ? `place.latent_tables[${m}] + h * ${groups}u / ${heads}u * ${tableStride(form.latent, width)}u`
      : vector('latent_params', paramWords(form.latent, width), vectorOf(groups)),
  ].join(', ');
  const key = [
    vector('keys', storedWords(form.key, keys.width), vectorOf(keys.count)),
    vector('key_params', paramWords(form.key, keys.width), vectorOf(keys.count)),
  ].join(', ');
  const before = m === 0 ? '' : 'place.capacity[0] + place.tail[0] + '; // slots of the other segment
  const slot = `${before}t${window ? ` + step.stored[${m}]` : ''}`;
  const ofKey = `h * ${keyHeads}u / ${heads}u % ${keyHeads / keys.count}u * ${dim}u`; // in its vector
  return /* wgsl */ `${readStored(`latents${run}`, form.latent)}${readStored(`keys${run}`, form.key)}
fn latent${run}(h : u32, t : u32, c : u32) -> f32 { return latents${run}_at(${latent}, c); }
fn score${run}(h : u32, t : u32) -> f32 {
  return keys${run}_dot(${key}, query_at + ${query.key}u + h * ${dim}u, ${ofKey}, ${dim}u)
    ${
      shape.caches === 'latents'
        ? `+ latents${run}_dot(${latent}, query_at + ${query.absorbed[m]}u + h * ${width}u, 0u, ${width}u)`
        : ''
    }
    ${shape.biasApart[m] ? `+ key_bias_score(h, ${slot})` : ''};
}
`;
}

/** `key_bias_score(h, slot)`: the query with the bias as it is turned at a slot (see `rotaryBiasScores`). */
function keyBias(shape: LatentShape): string {
  const { heads, keyHeads, ropeDim, nopeDim } = shape;
  const [half, pairs] = [ropeDim / 2, (ropeDim + nopeDim) / 2];
  return /* wgsl */ `
@group(0) @binding(3) var<storage, read> key_bias : array<f32>;
@group(0) @binding(4) var<storage, read> pairs : array<u32>;
@group(0) @binding(5) var<storage, read> slot_angles : array<f32>; // [cos | sin] of each slot
fn key_bias_score(h : u32, slot : u32) -> f32 {
  let k = h * ${keyHeads}u / ${heads}u;
  let at = query_at + ${queryLayout(shape).key}u + h * ${ropeDim}u;
  var sum = 0.0;
  for (var r = 0u; r < ${half}u; r++) {
    let pair = (slots_at + slot) * ${2 * pairs}u + pairs[k * ${half}u + r];
    let q = vec2(query[at + r], query[at + r + ${half}u]);
    let b = vec2(key_bias[k * ${ropeDim}u + r], key_bias[k * ${ropeDim}u + r + ${half}u]);
    sum += slot_angles[pair] * dot(q, b) + slot_angles[pair + ${pairs}u] * (q.y * b.x - q.x * b.y);
  }
  return sum;
}
`;
}
