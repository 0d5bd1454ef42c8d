import { memoryStore } from '@mha2mla/checkpoint';
import { cacheBytesPerToken } from '@mha2mla/mla-runtime';
import { describeBackends, expectClose, expectNoLeak } from '@mha2mla/testing';
import { llava, openVlm, VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { type Trace, traceModel } from '../trace/trace-model';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { openTinyLlava, type TinyLlavaOptions, tinyInputs, tinyLlava } from './tiny-llava';

const calibration = [tinyInputs(1), tinyInputs(2)];
const prompts = tinyInputs(3, 2);

async function convert(source: VlmSource, options: ConvertRunOptions): Promise<VlmSource> {
  const output = memoryOutput();
  await convertModel(source, output, { calibration, ...options });
  return openVlm(memoryStore(output.files), { families: [llava] });
}

/** Logits of the tokens that are not padding. */
async function logits(
  source: VlmSource,
  attention: 'naive' | 'absorbed' = 'naive',
): Promise<Float32Array> {
  const model = await VisionLanguageModel.load(source);
  const trace: Trace = await traceModel(model, prompts, { attention });
  model.dispose();
  const { values, shape } = trace.get('logits')!;
  return (values as Float32Array).filter(
    (_, i) => prompts.attentionMask[Math.floor(i / shape[2]!)] === 1,
  );
}

describeBackends('a conversion that loses nothing', () => {
  test.each<[string, TinyLlavaOptions, ConvertRunOptions]>([
    ['MHA, joint', { kvHeads: 4 }, { rank: 8 }],
    ['MHA, two groups', { kvHeads: 4 }, { rank: 8, groups: 2 }],
    ['GQA, partial RoPE', { kvHeads: 2 }, { factor: 'none' }],
    ['GQA with biases, joint', { kvHeads: 2, bias: true }, { rank: 8 }],
    ['GQA with biases, groups', { kvHeads: 2, bias: true }, { rank: 8, groups: 2 }],
    [
      'one KV head with biases, value, one latent for both modalities',
      { kvHeads: 1, bias: true },
      { rank: 8, factor: 'value', decouple: false },
    ],
    ['GQA with biases, factors of weights', { bias: true }, { rank: 8, init: 'weights' }],
  ])('%s: all pairs at full rank equal the original', async (_, model, options) => {
    const source = await openTinyLlava(model);
    const converted = await convert(source, { ropeDim: 8, ...options });
    const expected = await logits(source);
    for (const attention of ['naive', 'absorbed'] as const) {
      // Logits of size 3; two factors in float32 for one map.
      expectClose(await logits(converted, attention), expected, { abs: 1e-5 });
    }
  });

  test.each<[string, ConvertRunOptions]>([
    ['joint', { ropeDim: 4, rank: 12 }],
    ['joint in groups', { ropeDim: 4, rank: 12, groups: 2 }],
    ['key', { ropeDim: 4, rank: 4, factor: 'key' }],
    ['value', { ropeDim: 4, rank: 8, factor: 'value' }],
    ['split, no pair kept', { ropeDim: 0, rank: 8, factor: 'split' }],
  ])('%s: full rank equals partial RoPE', async (_, options) => {
    const source = await openTinyLlava({ bias: true });
    const { ropeDim } = options;
    const shared: ConvertRunOptions = { strategy: 'low', ropeDim, unrotate: 'fitted' };
    const converted = await convert(source, { ...shared, ...options, propagate: 'rope' });
    const rope = await convert(source, { ...shared, factor: 'none', propagate: 'rope' });
    const expected = await logits(rope);
    for (const attention of ['naive', 'absorbed'] as const) {
      expectClose(await logits(converted, attention), expected, { abs: 1e-5 });
    }
  });
});

describeBackends('latents of different widths by layer and modality', () => {
  const latentRanks = { vision: [3, 7], text: [5, 1] };
  test.each<[string, ConvertRunOptions]>([
    ['joint', {}],
    ['groups', { groups: 2 }],
    ['split', { factor: 'split', latentRanks: { vision: [3, 4], text: [4, 1] } }],
    ['key', { factor: 'key', latentRanks: { vision: [3, 4], text: [4, 1] } }],
    ['value', { factor: 'value' }],
  ])('%s: naive equals absorbed, and the bytes said are those of the model', async (_, options) => {
    const source = await openTinyLlava({ bias: true });
    const output = memoryOutput();
    const run = { calibration, ropeDim: 4, latentRanks, ...options };
    const report = await convertModel(source, output, run);
    const converted = await openVlm(memoryStore(output.files), { families: [llava] });
    // Sums of a latent in another order.
    const tolerance = { abs: 1e-5 };
    expectClose(await logits(converted, 'absorbed'), await logits(converted), tolerance);
    const { vision, text } = cacheBytesPerToken(converted.config.decoder, converted.weights);
    expect(report.cacheBytesPerToken.converted).toBe((vision + text) / 2);
    expect(report.options).toMatchObject({ latentRanks: run.latentRanks });
  });

  test('at full rank in some, equal a conversion at full rank there', async () => {
    const source = await openTinyLlava({ bias: true });
    const full = { vision: [12, 12], text: [12, 12] };
    const shared: ConvertRunOptions = { ropeDim: 4, propagate: 'rope' };
    const even = await convert(source, { ...shared, rank: 12 });
    expectClose(
      await logits(await convert(source, { ...shared, latentRanks: full })),
      await logits(even),
      { abs: 0 },
    );
    const uneven = await convert(source, { ...shared, latentRanks: { ...full, text: [12, 2] } });
    for (const modality of ['img', 'text']) {
      for (const layer of [0, 1]) {
        const name = `layers.${layer}.self_attn.kv_proj_${modality}.down_kv.weight`;
        const rank = modality === 'text' && layer === 1 ? 2 : 12;
        const wide = await even.weights.read(name, [24, 32]);
        const own = await uneven.weights.read(name, [2 * rank, 32]);
        // The widest directions come first, so that a narrow latent is the wide one's beginning.
        expectClose(own, wide.subarray(0, own.length), { abs: 1e-6 });
      }
    }
  });
});

describeBackends('a conversion by the subspace route', () => {
  test('is all but the exact one, and reports its own error', async () => {
    const source = await openTinyLlava({ bias: true });
    const [exact, subspace] = [memoryOutput(), memoryOutput()];
    const options = { calibration, strategy: 'low', rank: 3, propagate: 'original' } as const;
    const expected = await convertModel(source, exact, options);
    const found = await convertModel(source, subspace, { ...options, route: 'subspace' });
    for (const [i, { vision, text }] of found.layers.entries()) {
      expect(vision!.relativeError).toBeCloseTo(expected.layers[i]!.vision!.relativeError, 3);
      expect(text!.relativeError).toBeCloseTo(expected.layers[i]!.text!.relativeError, 3);
      expect(vision!.spectrum.tail.at(-1)).toBe(0);
    }
    const wide = { ...options, rank: 4, route: 'subspace' } as const;
    await expect(convertModel(source, memoryOutput(), wide)).rejects.toThrow(
      /factor of layer 0, vision: .* rank must be at most 7, a quarter .* got 8/,
    );
  });
});

describeBackends('a conversion of centered activations', () => {
  test.each<[string, TinyLlavaOptions, ConvertRunOptions]>([
    ['joint, no biases before', {}, { rank: 4 }],
    ['groups', { bias: true }, { rank: 4, groups: 2 }],
    ['split, by attention', { bias: true }, { rank: 4, factor: 'split', init: 'attention' }],
    ['key, no biases before', {}, { rank: 4, factor: 'key' }],
    ['value, one latent for both modalities', {}, { rank: 4, factor: 'value', decouple: false }],
  ])('%s: absorbed decode equals naive prefill, each modality with its biases', async (...of) => {
    const [, model, options] = of;
    const source = await openTinyLlava(model);
    const converted = await convert(source, { ...options, center: true });
    const expected = await logits(converted);
    expectClose(await logits(converted, 'absorbed'), expected, { abs: 1e-5 });
    const plain = await logits(await convert(source, options));
    expect(plain.some((value, i) => Math.abs(value - expected[i]!) > 1e-2)).toBe(true);
  });

  test('full rank equals the original, whatever the mean', async () => {
    const source = await openTinyLlava({ bias: true });
    const converted = await convert(source, { ropeDim: 8, rank: 8, center: true });
    expectClose(await logits(converted), await logits(source), { abs: 1e-5 });
  });

  test('the layout of the reference has no place for biases that the model did not have', async () => {
    const options = { rank: 4, center: true, layout: 'reference' } as const;
    await expect(convert(await openTinyLlava(), options)).rejects.toThrow(
      'center with layout reference needs a model whose keys and values have biases, got none of k_proj, v_proj.',
    );
    await convert(await openTinyLlava({ bias: true }), options);
  });
});

describeBackends('a conversion', () => {
  test('streams: what is held does not grow with depth', async () => {
    const peaks: number[] = [];
    const afterLayers = new Set<number>();
    for (const layers of [2, 5]) {
      let peak = 0;
      const store = memoryStore(await tinyLlava({ layers }));
      const source = await openVlm(store, { families: [llava] });
      const before = tf.memory().numTensors;
      // Weights are read while the samples and the moments are held, pieces written after.
      const watched: VlmSource = {
        ...source,
        checkpoint: {
          ...source.checkpoint,
          readBytes: (name) => {
            peak = Math.max(peak, tf.memory().numTensors - before);
            return source.checkpoint.readBytes(name);
          },
        },
      };
      await convertModel(watched, memoryOutput(), {
        calibration,
        rank: 4,
        onProgress: () => afterLayers.add(tf.memory().numTensors - before),
      });
      expect(tf.memory().numTensors).toBe(before);
      peaks.push(peak);
    }
    expect(peaks[0]).toBeGreaterThan(0);
    expect(peaks[1]).toBe(peaks[0]);
    expect(afterLayers.size).toBe(1);
  });

  test('leaves no tensors behind, whole, aborted or failed', async () => {
    const source = await openTinyLlava({ layers: 3 });
    const run = (options: ConvertRunOptions) =>
      convertModel(source, memoryOutput(), { calibration, rank: 4, ...options });
    await expectNoLeak(async () => {
      await run({});
    });
    await expectNoLeak(async () => {
      const abort = new AbortController();
      const onProgress = () => abort.abort(new Error('enough'));
      await expect(run({ signal: abort.signal, onProgress })).rejects.toThrow('enough');
      // In the midst of a layer: timers are heard between batches.
      const later = new AbortController();
      setTimeout(() => later.abort(new Error('too late')));
      await expect(run({ signal: later.signal })).rejects.toThrow('too late');
    });
    const bad = { ...tinyInputs(1), pixelValues: undefined };
    await expectNoLeak(async () => {
      await expect(run({ calibration: [tinyInputs(2), bad] })).rejects.toThrow('got 24 tokens');
    });
  });

  test('reports progress layer by layer', async () => {
    const seen: unknown[] = [];
    await convertModel(await openTinyLlava(), memoryOutput(), {
      strategy: 'low',
      factor: 'none',
      onProgress: (progress) => seen.push(progress),
    });
    expect(seen).toEqual([
      { phase: 'convert', loaded: 1, total: 2 },
      { phase: 'convert', loaded: 2, total: 2 },
    ]);
  });

  test('asks for the calibration samples that its options need', async () => {
    const source = await openTinyLlava();
    for (const options of [
      { factor: 'none' },
      { strategy: 'high', rank: 4 },
      { strategy: 'high', unrotate: 'fitted', factor: 'none' },
    ] as const) {
      await expect(convertModel(source, memoryOutput(), options)).rejects.toThrow(
        /calibration samples are needed .* got none/,
      );
    }
  });

  test('gives the same bytes when it is run again', async () => {
    const source = await openTinyLlava({ bias: true });
    const [first, second] = [memoryOutput(), memoryOutput()];
    await convertModel(source, first, { calibration, rank: 4 });
    await convertModel(source, second, { calibration, rank: 4 });
    expect(second.files).toEqual(first.files);
  });
});
