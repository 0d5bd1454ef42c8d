/**
 * Causal attention of a prompt on webgpu in one dispatch, by tiles: a workgroup takes 8 queries of a
 * head and goes over the keys they see, 16 at a time, with a running maximum and sum (FlashAttention,
 * arXiv 2205.14135). No score leaves the workgroup, where the composed form writes blocks of them.
 */
import * as tf from '@tensorflow/tfjs-core';
import { isOnTape } from './on-tape';
import { programForm, registerWebGpuKernel } from './webgpu-kernel';

const KERNEL = 'TiledAttention';
const QUERIES = 8;
const TILE = 16;
const THREADS = 64;
/** Threads that share a query's output. */
const LANES = THREADS / QUERIES;
/** Widest head: its tiles take 12 KiB of the 16 that a workgroup has. */
const WIDEST = 128;

export interface TiledAttentionInputs {
  /** [B, L, N, H]. */
  query: tf.Tensor;
  /** [B, K, H, T], the last L of them the queries' own. */
  keys: tf.Tensor;
  /** [B, K, T, V]. */
  values: tf.Tensor;
  /** [B, 1, 1, T], added to the scores. */
  padding?: tf.Tensor;
  /** [B, 1, L, T], added to the scores. */
  branches?: tf.Tensor;
}

/** Whether the kernel serves: on webgpu, without a tape (it has no gradient), heads up to 128 wide. */
export function isTiledAttention({ query, values }: TiledAttentionInputs): boolean {
  if (tf.getBackend() !== 'webgpu' || isOnTape()) return false;
  const widest = Math.max(query.shape[3]!, values.shape[3]!);
  return query.size > 0 && values.size > 0 && widest <= WIDEST;
}

/** @returns [B, L, N * V]; the caller disposes it. */
export function tiledAttention(inputs: TiledAttentionInputs, scale: number): tf.Tensor3D {
  register();
  const present = Object.entries(inputs).filter(([, tensor]) => tensor !== undefined);
  const named = Object.fromEntries(present) as tf.NamedTensorMap;
  return tf.engine().runKernel(KERNEL, named, { scale }) as tf.Tensor3D;
}

function register(): void {
  registerWebGpuKernel(KERNEL, (inputs, attrs) => {
    const names = ['query', 'keys', 'values', 'padding', 'branches'].filter((n) => inputs[n]);
    const { scale } = attrs as { scale: number };
    return {
      program: tiledAttentionProgram(
        names,
        inputs.query!.shape as Shape,
        inputs.values!.shape as Shape,
      ),
      inputs: names.map((name) => inputs[name]!),
      uniforms: [{ type: 'float32', data: [scale] }],
    };
  });
}

type Shape = [number, number, number, number];

/**
 * @param variableNames of the inputs, in the order of their bindings.
 * @param query [B, L, N, H].
 * @param values [B, K, T, V]; lengths come from the shapes that TensorFlow.js hands to each program.
 */
export function tiledAttentionProgram(
  variableNames: string[],
  [B, L, N, H]: Shape,
  [, K, , V]: Shape,
) {
  const groups = B * N * Math.ceil(L / QUERIES);
  const rounds = Math.ceil(V / LANES);
  const has = (name: string) => variableNames.includes(name);
  return {
    outputShape: [B, L, N * V],
    ...programForm(variableNames, groups, THREADS),
    uniforms: 'scale : f32,',
    shaderKey: `tiledAttention ${N} ${H} ${K} ${V}`,
    getUserCode: () => /* wgsl */ `
var<workgroup> tile_query : array<f32, ${QUERIES * H}>;
var<workgroup> tile : array<f32, ${TILE * Math.max(H, V)}>; // keys, then values
var<workgroup> score : array<f32, ${QUERIES * TILE}>;
var<workgroup> most : array<f32, ${QUERIES}>;
var<workgroup> total : array<f32, ${QUERIES}>;
var<workgroup> shrink : array<f32, ${QUERIES}>;
var<workgroup> limit : i32;

fn main(index : i32) {
  let thread = i32(localIndex);
  let L = uniforms.queryShape.y;
  let T = uniforms.valuesShape.z;
  let tiles = (L + ${QUERIES - 1}) / ${QUERIES};
  // Groups that fill up the grid do the last one again.
  let group = min(index / ${THREADS}, uniforms.queryShape.x * ${N} * tiles - 1);
  let start = group % tiles * ${QUERIES};
  let n = group / tiles % ${N};
  let b = group / (tiles * ${N});
  let head = b * ${K} + n / ${N / K};
  let before = T - L; // keys of earlier pieces

  for (var i = thread; i < ${QUERIES * H}; i += ${THREADS}) {
    let row = min(start + i / ${H}, L - 1);
    tile_query[i] = query[((b * L + row) * ${N} + n) * ${H} + i % ${H}] * uniforms.scale;
  }
  if (thread < ${QUERIES}) {
    most[thread] = -3.0e38;
    total[thread] = 0.0;
  }
  if (thread == 0) { limit = min(T, before + start + ${QUERIES}); }
  var out : array<f32, ${rounds}>;
  let own = thread / ${LANES};
  let end = workgroupUniformLoad(&limit); // waits for queries and sums too
  for (var first = 0; first < end; first += ${TILE}) {
    for (var i = thread; i < ${TILE * H}; i += ${THREADS}) {
      let t = first + i % ${TILE};
      tile[i] = 0.0;
      if (t < T) { tile[i] = keys[(head * ${H} + i / ${TILE}) * T + t]; }
    }
    workgroupBarrier(); // scores read all keys
    for (var i = thread; i < ${QUERIES * TILE}; i += ${THREADS}) {
      let row = i / ${TILE};
      let t = first + i % ${TILE};
      var s = -3.0e38;
      if (t <= before + start + row && t < T) {
        s = 0.0;
        for (var h = 0; h < ${H}; h++) { s += tile_query[row * ${H} + h] * tile[h * ${TILE} + i % ${TILE}]; }
        ${has('padding') ? 's += padding[b * T + t];' : ''}
        ${has('branches') ? 's += branches[(b * L + min(start + row, L - 1)) * T + t];' : ''}
      }
      score[i] = s;
    }
    workgroupBarrier(); // sums read a row's scores, and values take the keys' place
    if (thread < ${QUERIES}) {
      let base = thread * ${TILE};
      var highest = most[thread];
      for (var t = 0; t < ${TILE}; t++) { highest = max(highest, score[base + t]); }
      shrink[thread] = exp(most[thread] - highest);
      var sum = total[thread] * shrink[thread];
      for (var t = 0; t < ${TILE}; t++) {
        score[base + t] = exp(score[base + t] - highest);
        sum += score[base + t];
      }
      most[thread] = highest;
      total[thread] = sum;
    }
    for (var i = thread; i < ${TILE * V}; i += ${THREADS}) {
      let t = first + i / ${V};
      tile[i] = 0.0;
      if (t < T) { tile[i] = values[(head * T + t) * ${V} + i % ${V}]; }
    }
    workgroupBarrier(); // outputs read weights and values
    for (var j = 0; j < ${rounds}; j++) {
      let v = thread % ${LANES} + j * ${LANES};
      if (v >= ${V}) { break; }
      var sum = out[j] * shrink[own];
      for (var t = 0; t < ${TILE}; t++) { sum += score[own * ${TILE} + t] * tile[t * ${V} + v]; }
      out[j] = sum;
    }
    workgroupBarrier(); // the next keys take the values' place
  }
  if (start + own >= L) { return; }
  for (var j = 0; j < ${rounds}; j++) {
    let v = thread % ${LANES} + j * ${LANES};
    if (v < ${V}) { result[((b * L + start + own) * ${N} + n) * ${V} + v] = out[j] / total[own]; }
  }
}`,
  };
}
