import { memoryStore } from '@mha2mla/checkpoint';
import { describeBackends, expectNoLeak } from '@mha2mla/testing';
import { llava, openVlm } from '@mha2mla/vlm-adapters';
import { describe, expect, test } from 'vitest';
import { convertModel } from '../convert/convert-model';
import type { ConvertOptions } from '../convert/convert-options';
import { openTinyLlava, tinyInputs, tinyLlava } from '../convert/tiny-llava';
import { memoryOutput } from '../output/result-output';
import { type DiagnoseOptions, diagnoseModel } from './diagnose-model';

const calibration = [tinyInputs(1), tinyInputs(2)];
const source = await openTinyLlava({ layers: 3, kvHeads: 2, bias: true });
const diagnose = (options: Partial<DiagnoseOptions> = {}, of = source) =>
  diagnoseModel(of, { calibration, rank: 3, ...options });

describeBackends('a diagnosis', () => {
  test.each<[string, ConvertOptions]>([
    ['the defaults', { rank: 3 }],
    ['a budget', { kvBudget: 0.4 }],
    ['a measured budget', { kvBudget: 0.4, allocation: 'measured' }],
    ['attention-aware factors', { rank: 3, init: 'attention' }],
    ['weights alone', { rank: 3, init: 'weights', strategy: 'high' }],
    ['keys and values apart', { rank: 2, factor: 'split' }],
    ['one latent for both', { rank: 3, decouple: false }],
  ])('with %s predicts what a conversion that propagates the original reports', async (_, o) => {
    const predicted = await diagnose({ rank: undefined, ...o });
    const run = { calibration, propagate: 'original', ...o } as const;
    const report = await convertModel(source, memoryOutput(), run);
    expect(predicted.cacheBytesPerToken).toEqual(report.cacheBytesPerToken);
    for (const [index, layer] of report.layers.entries()) {
      for (const modality of ['vision', 'text'] as const) {
        const { relativeError, retainedEnergy, tokens, usedFallback } = layer[modality]!;
        // The same sums in the same order.
        expect(predicted.layers[index]![modality]).toMatchObject({
          ...{ relativeError, tailEnergy: 1 - retainedEnergy, tokens, usedFallback },
        });
      }
    }
  });

  test('leaves no tensors behind, whole or aborted', async () => {
    await expectNoLeak(async () => {
      await diagnose();
    });
    await expectNoLeak(async () => {
      const abort = new AbortController();
      const onProgress = () => abort.abort(new Error('enough'));
      await expect(diagnose({ signal: abort.signal, onProgress })).rejects.toThrow('enough');
    });
  });
});

describe('alarms', () => {
  const bias = 'language_model.model.layers.1.self_attn.k_proj.bias';
  const planted = async (values: number[]) => {
    const tensor = { dtype: 'F32' as const, shape: [16], values: Float32Array.from(values) };
    const files = await tinyLlava({
      ...{ layers: 3, kvHeads: 2, bias: true },
      tensors: { [bias]: tensor },
    });
    return openVlm(memoryStore(files), { families: [llava] });
  };

  test('a planted key bias is told by layer and head; the others are not', async () => {
    const before = await diagnose();
    expect(before.alarms.filter(({ kind }) => kind === 'keyBias')).toEqual([]);
    const { norm } = before.layers[1]!.keyBias!;
    const values = Array.from({ length: 16 }, (_, i) => (i === 11 ? 100 * norm : 0.01));
    const { alarms, layers } = await diagnose({}, await planted(values));
    const found = alarms.filter(({ kind }) => kind === 'keyBias');
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ layer: 1 });
    expect(found[0]!.message).toMatch(/^layer 1: the key bias of KV head 1 .* --rope-bits 16/);
    expect(layers[1]!.keyBias!.norm / (100 * norm)).toBeCloseTo(1, 3);
    expect(layers[1]!.keyBias!.ratio).toBeGreaterThan(50);
  });

  test('a rank that drops much is told with what it drops, a high one is not', async () => {
    const low = await diagnose({ rank: 1 });
    const tails = low.alarms.filter(({ kind }) => kind === 'tail');
    expect(tails.length).toBeGreaterThan(0);
    for (const { layer, modality, message } of tails) {
      const { tailEnergy } = low.layers[layer]![modality!]!;
      expect(tailEnergy).toBeGreaterThan(0.1);
      expect(message).toContain(`rank 1 would drop ${(100 * tailEnergy).toFixed(1)} %`);
    }
    const high = await diagnose({ rank: 14 });
    expect(high.alarms.filter(({ kind }) => kind === 'tail')).toEqual([]);
  });

  test('few tokens for the rank are told', async () => {
    const few = [tinyInputs(1, 1)];
    const { alarms, layers } = await diagnose({ calibration: few, rank: 8 });
    expect(layers[0]!.vision!.tokens).toBe(4);
    const told = alarms.filter(({ kind, layer }) => kind === 'tokens' && layer === 0);
    expect(told.map(({ modality }) => modality)).toContain('vision');
    expect(told[0]!.message).toContain('4 calibration tokens are too few');
  });
});

test('a model without key biases has none in its diagnosis', async () => {
  const { layers } = await diagnose({}, await openTinyLlava({ kvHeads: 2 }));
  expect(layers.map(({ keyBias }) => keyBias)).toEqual([undefined, undefined]);
});

test.each<[string, Partial<DiagnoseOptions>, RegExp]>([
  ['no samples', { calibration: [] }, /expected calibration samples, got none/],
  ['factor none', { factor: 'none', rank: undefined }, /factor must make latents, got none/],
  ['no rank', { rank: undefined }, /rank must be an integer/],
  ['a rank too high', { rank: 99 }, /rank must be an integer/],
])('%s is refused', async (_, options, message) => {
  await expect(diagnose(options)).rejects.toThrow(message);
});
