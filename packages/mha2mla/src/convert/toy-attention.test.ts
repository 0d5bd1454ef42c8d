import { factorize, type LinearAlgebra, loadLinearAlgebra } from '@mha2mla/lowrank';
import type { DecoderConfig } from '@mha2mla/mla-runtime';
import type { AttentionSample } from '@mha2mla/partial-rope';
import { gaussian } from '@mha2mla/testing';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { AttentionMoments } from './attention-moments';
import { attentionWeights } from './attention-weights';
import { headEffects, outputGrams } from './head-effects';
import { openTinyLlava } from './tiny-llava';

let config: DecoderConfig;
let la: LinearAlgebra;
beforeAll(async () => {
  config = (await openTinyLlava()).config.decoder;
  la = await loadLinearAlgebra();
});

test('on a toy attention, weights with s lose less of the output than without, and those less than none', async () => {
  await tf.setBackend('cpu');
  // One head of 16 dims; keys and values of 300 tokens, factored into 12 of 32 dims.
  const [T, dim, d, rank] = [300, 48, 16, 12];
  const uneven = (values: Float32Array, width: number) =>
    Float64Array.from(values, (v, i) => v * 0.85 ** (i % width));
  const x = uneven(gaussian(T * dim, 1), dim);
  const map = (seed: number, scale: number) =>
    Float64Array.from(gaussian(d * dim, seed), (v) => (v * scale) / Math.sqrt(6));
  const [wq, wk, wv] = [
    map(2, 1).map((v, i) => v * 3 * 0.6 ** Math.floor(i / dim)),
    map(3, 1),
    map(4, 1),
  ];
  const wo = Float64Array.from(gaussian(dim * d, 5), (v, i) => 2 * v * 0.8 ** (i % d));
  const t = (a: Float64Array, rows: number) =>
    Float64Array.from(a, (_, i) => a[(i % rows) * (a.length / rows) + Math.floor(i / rows)]!);
  const project = (w: Float64Array) => la.matmul(x, t(w, d), T, dim, d);
  const queries = project(wq);
  function attend(keys: Float64Array, values: Float64Array) {
    const scores = la.matmul(queries, t(keys, T), T, d, T);
    const p = scores.map((s, i) => (i % T > Math.floor(i / T) ? 0 : Math.exp(s / Math.sqrt(d))));
    for (let row = 0; row < T; row++) {
      const own = p.subarray(row * T, (row + 1) * T);
      const total = own.reduce((sum, w) => sum + w, 0);
      for (let i = 0; i < T; i++) own[i]! /= total;
    }
    return la.matmul(p, values, T, T, d);
  }
  const [keys, values] = [project(wk), project(wv)];
  const o = attend(keys, values);
  const one: DecoderConfig = {
    ...config,
    numAttentionHeads: 1,
    numKeyValueHeads: 1,
    headDim: d,
    hiddenSize: dim,
  };
  const still = (rows: number, value: number) => new Float64Array((rows * d) / 2).fill(value);
  const s: AttentionSample = {
    ...{ query: queries, key: keys, queryCos: still(T, 1), querySin: still(T, 0) },
    ...{ keyCos: still(T, 1), keySin: still(T, 0), rowIsVision: new Uint8Array(T) },
    rowColumn: Int32Array.from({ length: T }, (_, row) => row),
  };
  const weight = { shape: [dim, d], values: Float32Array.from(wo) };
  const moments = new AttentionMoments(one);
  const [value, rows] = [
    tf.tensor2d(Float32Array.from(values), [T, d]),
    tf.tensor2d(Float32Array.from(queries), [T, d]),
  ];
  const gram = tf.tidy(() => outputGrams(tf.transpose(tf.tensor2d(weight.values, [dim, d])), one));
  await moments.queries[0]!.add(rows);
  moments.addEffects(await headEffects(one, s, value, gram));
  const none = [new Int32Array(0)];
  const weights = new Map([['self_attn.o_proj.weight', weight]]);
  const full = await attentionWeights(one, weights, none, undefined, moments);
  const effect = moments.effects.effect[0]! / moments.effects.mass[0]!;
  tf.dispose([value, rows, gram]);
  const unscaled = { key: full.key.map((a) => a.map((v) => v / effect)), value: full.value };
  const moment = la.matmul(t(x, T), x, dim, T, dim);
  const outputError = (outputWeights: Float64Array[] | undefined) => {
    const input = { weight: Float64Array.of(...wk, ...wv), dOut: 2 * d, dIn: dim, moment, rank };
    const { up, down } = factorize(la, { ...input, outputWeights });
    const w = la.matmul(up, down, 2 * d, rank, dim);
    const found = attend(project(w.slice(0, d * dim)), project(w.slice(d * dim)));
    const moved = la.matmul(
      found.map((v, i) => v - o[i]!),
      t(wo, dim),
      T,
      d,
      dim,
    );
    const whole = la.matmul(o, t(wo, dim), T, d, dim);
    const energy = (a: Float64Array) => a.reduce((sum, v) => sum + v * v, 0);
    return Math.sqrt(energy(moved) / energy(whole));
  };
  const errors = [full, unscaled].map(({ key, value }) => outputError([...key, ...value]));
  const plain = outputError(undefined);
  // 0.021, 0.075 and 0.124 were seen.
  expect(errors[0]!).toBeLessThan(0.5 * errors[1]!);
  expect(errors[1]!).toBeLessThan(plain);
});
