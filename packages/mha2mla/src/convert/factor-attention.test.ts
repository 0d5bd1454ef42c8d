import { memoryStore } from '@mha2mla/checkpoint';
import { type LinearAlgebra, loadLinearAlgebra, SecondMoment } from '@mha2mla/lowrank';
import { loadDecoderLayer } from '@mha2mla/mla-runtime';
import { emptyMklSums } from '@mha2mla/partial-rope';
import { describeBackends, expectClose, gaussian } from '@mha2mla/testing';
import { llava, openVlm, type VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { disposeBatch } from './calibration-batch';
import { choosePairs } from './choose-pairs';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { planConversion } from './convert-options';
import { embedCalibration } from './embed-calibration';
import { factorAttention } from './factor-attention';
import { inlineRunner } from './inline-runner';
import { readLayer, storedLayer } from './layer-source';
import type { LayerTensor } from './layer-weights';
import { type Modality, modalityMask } from './modality-mask';
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
  async function factors(options: ConvertRunOptions, seeds: [number, number], count = 60) {
    const source = await openTinyLlava({ bias: true });
    const config = source.config.decoder;
    const plan = planConversion(config, { strategy: 'low', ...options });
    const weights = await readLayer(source, storedLayer(source, 0));
    const split = splitAttention(config, weights, choosePairs(config, plan, 0));
    const moment = async (seed: number) => {
      const x = tf.tensor2d(gaussian(count * D, seed), [count, D]);
      const own = await new SecondMoment(D).add(x);
      x.dispose();
      return own;
    };
    const moments = { vision: await moment(seeds[0]), text: await moment(seeds[1]) };
    const mkl = emptyMklSums(config);
    const calibration = { mkl, samples: [], moments };
    return factorAttention(inlineRunner, config, plan, split, calibration, { index: 0 });
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

  test('factors of the weights alone say that they saw no tokens', async () => {
    const { reports, tensors } = await factors({ rank: 5, init: 'weights' }, [1, 2]);
    expect(reports.text).toMatchObject({ tokens: 0, usedFallback: false });
    expect(tensors.get('self_attn.kv_proj_img.up_k.weight')).toEqual(
      tensors.get('self_attn.kv_proj_text.up_k.weight'),
    );
  });
});

describeBackends('the error that a conversion reports', () => {
  /** What a layer's attention reads in a model, [tokens, D] of a modality, batch after batch. */
  async function attentionInputs(model: VlmSource, index: number, modality: Modality) {
    const { decoder } = model.config;
    const batches = await embedCalibration(model, calibration);
    const rows: number[] = [];
    for (const batch of batches) {
      let hidden = tf.clone(batch.hidden);
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

  test.each(['original', 'rope', 'converted'] as const)(
    'is the one measured on the inputs, with those of the %s layers before',
    async (propagate) => {
      const original = await openTinyLlava({ bias: true });
      const convert = async (options: ConvertRunOptions) => {
        const output = memoryOutput();
        const report = await convertModel(original, output, {
          calibration,
          strategy: 'low',
          ...options,
        });
        return { report, model: await openVlm(memoryStore(output.files), { families: [llava] }) };
      };
      const { report, model } = await convert({ rank: 4, propagate });
      const rope = (await convert({ factor: 'none' })).model;
      const before = { original, rope, converted: model }[propagate];
      for (const [modality, folder] of [
        ['vision', 'kv_proj_img'],
        ['text', 'kv_proj_text'],
      ] as const) {
        const x = await attentionInputs(before, 1, modality);
        const tokens = x.length / D;
        let [error, energy] = [0, 0];
        for (const [name, rows] of Object.entries({ up_k: KEYS, up_v: VALUES })) {
          const read = async (source: VlmSource, at: string, shape: number[]) => ({
            shape,
            values: await source.weights.read(`layers.1.self_attn.${at}.weight`, shape),
          });
          const whole = await read(rope, `kv_proj.${name}`, [rows, D]);
          const factored = product(
            await read(model, `${folder}.${name}`, [rows, 8]),
            await read(model, `${folder}.down_kv`, [8, D]),
          );
          const lost = factored.map((value, i) => value - whole.values[i]!);
          const energyOf = (map: Float64Array) =>
            la
              .matmul(x, transpose(map, rows), tokens, D, rows)
              .reduce((sum, value) => sum + value * value, 0);
          error += energyOf(lost);
          energy += energyOf(new Float64Array(whole.values));
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
});

/** [rows, D] to [D, rows]. */
function transpose(map: Float64Array, rows: number): Float64Array {
  return Float64Array.from(
    { length: map.length },
    (_, i) => map[(i % rows) * D + Math.floor(i / rows)]!,
  );
}
