/**
 * The decoder in plain float64 loops, one row at a time, read off the weights by their names on
 * disk: what the tests hold prefill and decode against. Nothing is absorbed, joined or blocked.
 */
import type { DecoderConfig } from './decoder-config';
import type { RandomWeights } from './random-weights.reference';
import { VISION } from './token-layout';

export interface ReferenceRow {
  /** Per token. */
  embeds: readonly (readonly number[])[];
  kinds: ArrayLike<number>;
  /** Per axis (1, or 3 for M-RoPE), per token. */
  positions: readonly (readonly number[])[];
}

export interface ReferenceOutput {
  /** Last layer's output, [L * D]. */
  hidden: number[];
  /** [L * vocabulary]. */
  logits: number[];
}

type Vector = readonly number[];

export function referenceDecoder(
  config: DecoderConfig,
  weights: RandomWeights,
  row: ReferenceRow,
): ReferenceOutput {
  let states: Vector[] = row.embeds.map((x) => [...x]);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const name = `layers.${layer}`;
    const normed = states.map((x) => norm(config, weights, `${name}.input_layernorm`, x));
    const attended = attention(config, weights, layer, normed, row);
    states = states.map((x, t) => {
      const middle = sum(x, attended[t]!);
      const input = norm(config, weights, `${name}.post_attention_layernorm`, middle);
      const gate = linear(weights, `${name}.mlp.gate_proj`, input);
      const up = linear(weights, `${name}.mlp.up_proj`, input);
      const product = gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!);
      return sum(middle, linear(weights, `${name}.mlp.down_proj`, product));
    });
  }
  const logits = states.map((x) => linear(weights, 'lm_head', norm(config, weights, 'norm', x)));
  return { hidden: states.flat(), logits: logits.flat() };
}

/** Causal softmax attention with keys and values of every token. */
function attention(
  config: DecoderConfig,
  weights: RandomWeights,
  layer: number,
  inputs: readonly Vector[],
  row: ReferenceRow,
): Vector[] {
  const { numAttentionHeads, numKeyValueHeads, headDim } = config;
  const name = `layers.${layer}.self_attn`;
  const queries = inputs.map((x, t) => queryHeads(config, weights, layer, x, row, t));
  const keys = inputs.map((x, t) => keyHeads(config, weights, layer, x, row, t));
  const values = inputs.map((x, t) => {
    const flat = config.mla
      ? latentOutput(config, weights, layer, 'v', x, row.kinds[t]!)
      : linear(weights, `${name}.v_proj`, x);
    return chunk(flat, numKeyValueHeads);
  });
  return inputs.map((_, t) => {
    const heads = Array.from({ length: numAttentionHeads }, (_, h) => {
      const own = Math.floor((h * numKeyValueHeads) / numAttentionHeads);
      const scores = keys
        .slice(0, t + 1)
        .map((key) => dot(queries[t]![h]!, key[own]!) / Math.sqrt(headDim));
      const exps = scores.map((s) => Math.exp(s - Math.max(...scores)));
      const total = exps.reduce((a, b) => a + b, 0);
      return values[0]![own]!.map((_, i) =>
        exps.reduce((acc, e, s) => acc + (e / total) * values[s]![own]![i]!, 0),
      );
    });
    return linear(weights, `${name}.o_proj`, heads.flat());
  });
}

function queryHeads(
  config: DecoderConfig,
  weights: RandomWeights,
  layer: number,
  x: Vector,
  row: ReferenceRow,
  t: number,
): Vector[] {
  const { numAttentionHeads, numKeyValueHeads, mla } = config;
  const flat = linear(weights, `layers.${layer}.self_attn.q_proj`, x);
  if (!mla) return chunk(flat, numAttentionHeads).map((q) => rotateAll(config, q, row, t));
  const pairs = mla.ropePairs[layer]!;
  const ropeWidth = numAttentionHeads * 2 * pairs[0]!.length;
  const rope = chunk(flat.slice(0, ropeWidth), numAttentionHeads);
  const nope = chunk(flat.slice(ropeWidth), numAttentionHeads);
  return rope.map((q, h) => {
    const own = pairs[Math.floor((h * numKeyValueHeads) / numAttentionHeads)]!;
    return [...rotate(config, q, own, row, t), ...nope[h]!];
  });
}

function keyHeads(
  config: DecoderConfig,
  weights: RandomWeights,
  layer: number,
  x: Vector,
  row: ReferenceRow,
  t: number,
): Vector[] {
  const { numKeyValueHeads, mla } = config;
  const name = `layers.${layer}.self_attn`;
  if (!mla) {
    const keys = chunk(linear(weights, `${name}.k_proj`, x), numKeyValueHeads);
    return keys.map((k) => rotateAll(config, k, row, t));
  }
  const rope = chunk(linear(weights, `${name}.k_r_proj`, x), numKeyValueHeads);
  const nope = chunk(latentOutput(config, weights, layer, 'k', x, row.kinds[t]!), numKeyValueHeads);
  return rope.map((k, j) => [...rotate(config, k, mla.ropePairs[layer]![j]!, row, t), ...nope[j]!]);
}

/** Nope keys or values of one token, through whatever latent its modality has. */
function latentOutput(
  { mla, numKeyValueHeads }: DecoderConfig,
  weights: RandomWeights,
  layer: number,
  side: 'k' | 'v',
  x: Vector,
  kind: number,
): Vector {
  const prefix = `layers.${layer}.self_attn`;
  const own = kind === VISION ? 'kv_proj_img' : 'kv_proj_text';
  const folder = weights.has(`${prefix}.${own}.up_v.weight`) ? own : 'kv_proj';
  const name = `${prefix}.${folder}`;
  if (!weights.has(`${name}.up_${side}.weight`)) return new Array(0);
  if (weights.has(`${name}.down_${side}.weight`)) {
    return linear(weights, `${name}.up_${side}`, linear(weights, `${name}.down_${side}`, x));
  }
  if (!weights.has(`${name}.down_kv.weight`)) return linear(weights, `${name}.up_${side}`, x);
  const parts = chunk(linear(weights, `${name}.down_kv`, x), mla!.groups);
  // Every group goes through the whole map; each head takes what its own group gives.
  const perGroup = parts.map((c) =>
    chunk(linear(weights, `${name}.up_${side}`, c), numKeyValueHeads),
  );
  return Array.from(
    { length: numKeyValueHeads },
    (_, j) => perGroup[Math.floor((j * mla!.groups) / numKeyValueHeads)]![j]!,
  ).flat();
}

function rotateAll(config: DecoderConfig, x: Vector, row: ReferenceRow, t: number): Vector {
  return rotate(
    config,
    x,
    Int32Array.from({ length: config.headDim / 2 }, (_, i) => i),
    row,
    t,
  );
}

/** Turn [first halves | second halves] as complex numbers. */
function rotate(
  { headDim, ropeTheta, mropeSection }: DecoderConfig,
  x: Vector,
  pairs: Int32Array,
  { positions }: ReferenceRow,
  t: number,
): Vector {
  const half = pairs.length;
  const turned = [...x];
  for (const [i, pair] of pairs.entries()) {
    let axis = 0;
    if (mropeSection) {
      const ends = [mropeSection[0]!, mropeSection[0]! + mropeSection[1]!];
      axis = ends.filter((end) => pair >= end).length;
    }
    const angle = positions[axis]![t]! * ropeTheta ** ((-2 * pair) / headDim);
    turned[i] = x[i]! * Math.cos(angle) - x[i + half]! * Math.sin(angle);
    turned[i + half] = x[i + half]! * Math.cos(angle) + x[i]! * Math.sin(angle);
  }
  return turned;
}

function norm(config: DecoderConfig, weights: RandomWeights, name: string, x: Vector): Vector {
  const { values } = weights.get(`${name}.weight`)!;
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + config.rmsNormEps);
  return x.map((v, i) => v * scale * values[i]!);
}

function linear(weights: RandomWeights, name: string, x: Vector): number[] {
  const { shape, values } = weights.get(`${name}.weight`)!;
  const bias = weights.get(`${name}.bias`)?.values;
  const [outFeatures, inFeatures] = shape as [number, number];
  return Array.from({ length: outFeatures }, (_, o) =>
    x.reduce((acc, v, i) => acc + v * values[o * inFeatures + i]!, bias?.[o] ?? 0),
  );
}

function chunk(x: Vector, parts: number): number[][] {
  const width = x.length / parts;
  return Array.from({ length: parts }, (_, i) => x.slice(i * width, (i + 1) * width));
}

function sum(a: Vector, b: Vector): Vector {
  return a.map((v, i) => v + b[i]!);
}

function dot(a: Vector, b: Vector): number {
  return a.reduce((acc, v, i) => acc + v * b[i]!, 0);
}
