import { memoryStore } from '@mha2mla/checkpoint';
import { type LinearAlgebra, loadLinearAlgebra, SecondMoment } from '@mha2mla/lowrank';
import { loadDecoderLayer } from '@mha2mla/mla-runtime';
import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import { llava, openVlm, type VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import type { AttentionWeights } from './attention-weights';
import { disposeBatch } from './calibration-batch';
import { choosePairs } from './choose-pairs';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { embedCalibration } from './embed-calibration';
import { factorAttention } from './factor-attention';
import { inlineRunner } from './inline-runner';
import { readAttention, storedLayer } from './layer-source';
import type { LayerTensor } from './layer-weights';
import { type Modality, modalityMask } from './modality-mask';
import { planConversion } from './plan-conversion';
import { splitAttention } from './split-attention';
import { openTinyLlava, tinyInputs } from './tiny-llava';

const [D, KEYS, VALUES] = [32, 12, 16]; // of 2 KV heads: 6 dims not rotated, 8 of values
const calibration = [tinyInputs(1), tinyInputs(2)];
let la: LinearAlgebra;

beforeAll(async () => {
  await tf.setBackend('cpu');
  la = await loadLinearAlgebra();
});

function product(up: LayerTensor, down: LayerTensor): Float64Array {
  const [rows, rank] = up.shape as [number, number];
  const [left, right] = [up, down].map(({ values }) => new Float64Array(values));
  return la.matmul(left!, right!, rows, rank, D);
}

describe('factors of a layer', () => {
  /** Moments of random tokens, `count` for each modality; equal ones from equal seeds. */
  async function factors(
    options: ConvertRunOptions,
    seeds: [number, number],
    count = 60,
    outputWeights?: AttentionWeights,
  ) {
    const source = await openTinyLlava({ bias: true });
    const config = source.config.decoder;
    const plan = planConversion(config, { strategy: 'low', ...options });
    const weights = await readAttention(source, storedLayer(source, 0));
    const split = splitAttention(config, weights, choosePairs(config, plan, 0));
    const moment = async (seed: number) => {
      const x = tf.tensor2d(gaussian(count * D, seed), [count, D]);
      const own = await new SecondMoment(D).add(x);
      x.dispose();
      return own;
    };
    const moments = { vision: await moment(seeds[0]), text: await moment(seeds[1]) };
    const layer = { index: 0, outputWeights };
    return factorAttention(inlineRunner, config, plan, split, moments, layer);
  }

  test.each(['joint', 'split', 'key', 'value'] as const)(
    '%s: two modalities alike make decoupled equal joint',
    async (factor) => {
      const apart = await factors({ rank: 5, factor }, [7, 7]);
      const together = await factors({ rank: 5, factor, decouple: false }, [7, 7]);
      const other = await factors({ rank: 5, factor }, [7, 8]);
      const parts = { joint: ['kv', 'kv'], split: ['k', 'v'], key: ['k'], value: ['', 'v'] };
      for (const [i, part] of parts[factor].entries()) {
        if (part === '') continue;
        const [up, down] = [['up_k', 'up_v'][i], `down_${part}`];
        const of = ({ tensors }: typeof apart, folder: string) =>
          product(
            tensors.get(`self_attn.${folder}.${up}.weight`)!,
            tensors.get(`self_attn.${folder}.${down}.weight`)!,
          );
        const expected = of(together, 'kv_proj');
        // Stored in float32; entries reach 1.
        for (const folder of ['kv_proj_img', 'kv_proj_text']) {
          expectClose(of(apart, folder), expected, { abs: 1e-6 });
        }
        const text = of(other, 'kv_proj_text');
        expect(text.some((value, at) => Math.abs(value - expected[at]!) > 1e-2)).toBe(true);
      }
      expect(apart.reports.vision).toEqual(apart.reports.text);
      expect(apart.reports.vision!.relativeError).toBeCloseTo(
        together.reports.vision!.relativeError,
        6,
      );
      expect(together.reports.vision!.tokens).toBe(120);
    },
  );

  test('biases stay on the up-projections of both modalities', async () => {
    const { tensors } = await factors({ rank: 5 }, [1, 2]);
    for (const folder of ['kv_proj_img', 'kv_proj_text']) {
      expect(tensors.get(`self_attn.${folder}.up_k.bias`)!.shape).toEqual([KEYS]);
      expect(tensors.get(`self_attn.${folder}.up_v.bias`)!.shape).toEqual([VALUES]);
      expect(tensors.has(`self_attn.${folder}.down_kv.bias`)).toBe(false);
    }
  });

  test('groups have latents of their own, each for its KV heads', async () => {
    const { tensors } = await factors({ rank: 5, groups: 2 }, [1, 2]);
    const shape = (name: string) => tensors.get(`self_attn.kv_proj_img.${name}.weight`)!.shape;
    expect([shape('down_kv'), shape('up_k'), shape('up_v')]).toEqual([
      [10, D],
      [KEYS, 5],
      [VALUES, 5],
    ]);
  });

  test.each([
    ['joint', 1, 19, true], // a latent of 10 dims wants 20 tokens
    ['joint', 1, 20, false],
    ['joint', 2, 10, false], // two latents of 5 dims
    ['split', 1, 20, false], // K and V apart: two of 10
  ] as const)('%s, %d groups, %d tokens: leans on the other: %s', async (...of) => {
    const [factor, groups, count, usedFallback] = of;
    const { reports } = await factors({ rank: 5, factor, groups }, [1, 2], count);
    expect(reports.vision).toMatchObject({ tokens: count, usedFallback });
  });

  test.each<ConvertRunOptions>([
    {},
    { groups: 2 },
    { factor: 'split' },
    { factor: 'key' },
    { factor: 'value' },
    { decouple: false },
  ])('attention-aware with all weights alike is activation-aware: %o', async (options) => {
    const blocks = (size: number, diagonal: (i: number) => number) =>
      [0, 1].map(() =>
        Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) ? 0 : diagonal(i))),
      );
    const alike = { key: blocks(6, () => 3), value: blocks(8, () => 3) };
    const uneven = { key: blocks(6, (i) => 1 + i), value: blocks(8, (i) => 100 - i) };
    const run = (init: ConvertRunOptions['init'], weights?: AttentionWeights) =>
      factors({ rank: 5, init, ...options }, [1, 2], 60, weights);
    const expected = await run('activations');
    const found = await run('attention', alike);
    const other = await run('attention', uneven);
    for (const [name, { values }] of expected.tensors) {
      // The latent's own scale is another, 3^½; its map is the same.
      if (!/up_[kv].weight|down_/.test(name))
        expect(found.tensors.get(name)!.values).toEqual(values);
    }
    const { vision } = expected.reports;
    expect(found.reports.vision!.relativeError).toBeCloseTo(vision!.relativeError, 9);
    expect(Math.abs(other.reports.vision!.relativeError - vision!.relativeError)).toBeGreaterThan(
      1e-3,
    );
    for (const map of mapsOf(expected.tensors)) {
      expectClose(mapsOf(found.tensors).get(map[0])!, map[1], { abs: 1e-6 });
    }
  });

  /** up x down of each latent, by the name of its up. */
  function mapsOf(tensors: ReadonlyMap<string, LayerTensor>): Map<string, Float64Array> {
    const maps = new Map<string, Float64Array>();
    for (const [name, up] of tensors) {
      const [, folder, letter] = /(.*)\.up_([kv])\.weight$/.exec(name) ?? [];
      const down =
        tensors.get(`${folder}.down_kv.weight`) ?? tensors.get(`${folder}.down_${letter}.weight`);
      if (!down) continue;
      const groups = down.shape[0]! / up.shape[1]!;
      for (let group = 0; group < groups; group++) {
        maps.set(
          `${name} ${group}`,
          product(rowsOf(up, group, groups), rowsOf(down, group, groups)),
        );
      }
    }
    return maps;
  }

  function rowsOf({ shape, values }: LayerTensor, group: number, groups: number): LayerTensor {
    const size = values.length / groups;
    return {
      shape: [shape[0]! / groups, shape[1]!],
      values: values.subarray(group * size, (group + 1) * size),
    };
  }

  test.each<ConvertRunOptions>([{}, { groups: 2 }, { factor: 'split' }, { factor: 'value' }])(
    'the spectrum holds the error of the rank that was taken: %o',
    async (options) => {
      const { reports } = await factors({ rank: 5, ...options }, [1, 2]);
      const { relativeError, spectrum } = reports.vision!;
      expect(spectrum.tail[spectrum.ranks.indexOf(5)]).toBeCloseTo(relativeError ** 2, 9);
      expect(spectrum.tail.at(-1)).toBe(0);
    },
  );

  test('factors of the weights alone say that they saw no tokens', async () => {
    const { reports, tensors } = await factors({ rank: 5, init: 'weights' }, [1, 2]);
    expect(reports.text).toMatchObject({ tokens: 0, usedFallback: false });
    expect(tensors.get('self_attn.kv_proj_img.up_k.weight')).toEqual(
      tensors.get('self_attn.kv_proj_text.up_k.weight'),
    );
  });
});

describeBackends('the error that a conversion reports', () => {
  /** Convert the tiny model. */
  async function convert(original: VlmSource, options: ConvertRunOptions) {
    const output = memoryOutput();
    const shared = { calibration, strategy: 'low' } as const;
    const report = await convertModel(original, output, { ...shared, ...options });
    return { report, model: await openVlm(memoryStore(output.files), { families: [llava] }) };
  }

  async function read(source: VlmSource, name: string, shape: number[]): Promise<LayerTensor> {
    return { shape, values: await source.weights.read(`layers.1.self_attn.${name}`, shape) };
  }

  /** What a layer's attention reads in a model, [tokens, D] of a modality, batch after batch. */
  async function attentionInputs(model: VlmSource, index: number, modality: Modality) {
    const { decoder } = model.config;
    const batches = await embedCalibration(model, calibration);
    const rows: number[] = [];
    for (const batch of batches) {
      let hidden = await batch.hidden.read();
      for (let i = 0; i <= index; i++) {
        const layer = await loadDecoderLayer(decoder, model.weights, i);
        let input: Float32Array | undefined;
        const next = layer.prefill(hidden, batch.step, {
          observe: (seen) => {
            input = seen.input.dataSync() as Float32Array;
          },
        });
        tf.dispose(hidden);
        hidden = next;
        layer.dispose();
        if (i < index) continue;
        for (const [token, own] of modalityMask(batch.step.layout, modality).entries()) {
          if (own) rows.push(...input!.subarray(token * D, (token + 1) * D));
        }
      }
      hidden.dispose();
      disposeBatch(batch);
    }
    return Float64Array.from(rows);
  }

  test.each([
    ['original', {}],
    ['rope', {}],
    ['converted', {}],
    ['original', { center: true }],
    ['converted', { center: true, bias: false }],
  ] as const)(
    'is the one measured on the inputs, with those of the %s layers before, %o',
    async (propagate, { center = false, bias = true }: { center?: boolean; bias?: boolean }) => {
      const original = await openTinyLlava({ bias });
      const { report, model } = await convert(original, { rank: 4, propagate, center });
      const rope = (await convert(original, { factor: 'none' })).model;
      const before = { original, rope, converted: model }[propagate];
      for (const [modality, folder] of [
        ['vision', 'kv_proj_img'],
        ['text', 'kv_proj_text'],
      ] as const) {
        const x = await attentionInputs(before, 1, modality);
        const tokens = x.length / D;
        let [error, energy] = [0, 0];
        for (const [name, rows] of Object.entries({ up_k: KEYS, up_v: VALUES })) {
          const whole = await read(rope, `kv_proj.${name}.weight`, [rows, D]);
          const factored = product(
            await read(model, `${folder}.${name}.weight`, [rows, 8]),
            await read(model, `${folder}.down_kv.weight`, [8, D]),
          );
          const lost = factored.map((value, i) => value - whole.values[i]!);
          const outputs = (map: Float64Array) =>
            la.matmul(x, transpose(map, rows), tokens, D, rows);
          const bias = async (source: VlmSource, at: string) =>
            source.weights.shape(`layers.1.self_attn.${at}.${name}.bias`)
              ? (await read(source, `${at}.${name}.bias`, [rows])).values
              : new Float32Array(rows);
          const [before, after] = [await bias(rope, 'kv_proj'), await bias(model, folder)];
          for (const [i, value] of outputs(lost).entries()) {
            error += (value + after[i % rows]! - before[i % rows]!) ** 2;
          }
          // With `center`, the energy that counts is that about the mean.
          const y = outputs(new Float64Array(whole.values));
          for (let row = 0; row < rows; row++) {
            const own = y.filter((_, i) => i % rows === row);
            const mean = center ? own.reduce((sum, value) => sum + value, 0) / tokens : 0;
            for (const value of own) energy += (value - mean) ** 2;
          }
        }
        const reported = report.layers[1]![modality]!;
        expect(reported).toMatchObject({ tokens, usedFallback: false });
        expect(reported.relativeError).toBeGreaterThan(0.1);
        // The moment is summed in float32.
        expect(reported.relativeError).toBeCloseTo(Math.sqrt(error / energy), 5);
        expect(reported.retainedEnergy).toBeCloseTo(1 - error / energy, 5);
      }
    },
  );

  test('by attention, is the one measured behind the output projection', async () => {
    const original = await openTinyLlava({ bias: true });
    const options = { rank: 4, factor: 'value', init: 'attention' } as const;
    const { report, model } = await convert(original, { ...options, propagate: 'original' });
    const whole = await read(original, 'v_proj.weight', [VALUES, D]);
    const { values: output } = await read(original, 'o_proj.weight', [D, D]); // [D, 4 heads of 8]
    for (const [modality, folder] of [
      ['vision', 'kv_proj_img'],
      ['text', 'kv_proj_text'],
    ] as const) {
      const x = await attentionInputs(original, 1, modality);
      const factored = product(
        await read(model, `${folder}.up_v.weight`, [VALUES, 8]),
        await read(model, `${folder}.down_v.weight`, [8, D]),
      );
      const energyOf = (map: Float64Array) => {
        const y = la.matmul(x, transpose(map, VALUES), x.length / D, D, VALUES);
        let sum = 0;
        for (let head = 0; head < 4; head++) {
          const own = y.filter((_, i) => Math.floor((i % VALUES) / 8) === Math.floor(head / 2));
          const wo = Float64Array.from(
            { length: 8 * D },
            (_, i) => output[(i % D) * D + 8 * head + Math.floor(i / D)]!,
          );
          for (const moved of la.matmul(own, wo, own.length / 8, 8, D)) sum += moved * moved;
        }
        return sum;
      };
      const lost = factored.map((value, i) => value - whole.values[i]!);
      const share = energyOf(lost) / energyOf(new Float64Array(whole.values));
      expect(share).toBeGreaterThan(0.01);
      // The weight is damped by a thousandth of its mean.
      expect(report.layers[1]![modality]!.relativeError ** 2 / share).toBeCloseTo(1, 2);
    }
  });
});

/** [rows, D] to [D, rows]. */
function transpose(map: Float64Array, rows: number): Float64Array {
  return Float64Array.from(
    { length: map.length },
    (_, i) => map[(i % rows) * D + Math.floor(i / rows)]!,
  );
}
