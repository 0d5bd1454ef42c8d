/** A fit of a converted model's cache is that of its conversion, and follows its weights. */
import { memoryStore } from '@mha2mla/checkpoint';
import type { WeightReader } from '@mha2mla/mla-runtime';
import { describeBackends, expectNoLeak } from '@mha2mla/testing';
import { llava, openVlm, type VlmSource } from '@mha2mla/vlm-adapters';
import { expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { fitCache } from './fit-cache';
import { openTinyLlava, tinyInputs } from './tiny-llava';

const calibration = [tinyInputs(1), tinyInputs(2)];
const cache = { kvMethod: 'bands', kvBits: 4 } as const;

async function convert(options: ConvertRunOptions): Promise<VlmSource> {
  const output = memoryOutput();
  await convertModel(await openTinyLlava(), output, { calibration, rank: 12, ...options });
  return openVlm(memoryStore(output.files), { families: [llava] });
}

/** Latents twice as long, and as short again on the way out of them: the model is the same. */
function stretched({ weights }: VlmSource): WeightReader {
  return {
    shape: (name) => weights.shape(name),
    async read(name, expected) {
      const factor = /\.down_kv\.weight$/.test(name)
        ? 2
        : /\.up_[kv]\.weight$/.test(name)
          ? 0.5
          : 1;
      return (await weights.read(name, expected)).map((value) => factor * value);
    },
  };
}

describeBackends('a fit of the cache', () => {
  test.each<[string, ConvertRunOptions]>([
    ['by modality', {}],
    ['shared latents, 2 groups', { decouple: false, groups: 2 }],
  ])('%s: of the converted model is what the conversion fitted', async (_, options) => {
    const source = await convert({ ...options, cache });
    expect(await fitCache(source, calibration)).toEqual(source.cache);
  });

  test('steps of latents that training made twice as long are twice as wide', async () => {
    const source = await convert({ cache });
    const { latentSpecs } = await fitCache(source, calibration, { weights: stretched(source) });
    for (const [index, layer] of source.cache.latentSpecs!.entries()) {
      for (const segment of ['vision', 'text'] as const) {
        const [before, after] = [layer[segment]!, latentSpecs![index]![segment]!];
        expect(after.bands).toEqual(before.bands);
        // A channel without bits has any step.
        const used = before.bands.filter(({ bits }) => bits > 0);
        const count = used.reduce((sum, { channels }) => sum + channels, 0);
        expect(count).toBeGreaterThan(0);
        expect(after.scales.slice(0, count)).toEqual(
          before.scales.slice(0, count).map((scale) => 2 * scale),
        );
        expect(after.zeros).toEqual(before.zeros.map((zero) => 2 * zero));
      }
    }
  });

  test('leaves no tensors behind, whole or aborted', async () => {
    const source = await convert({ cache });
    await expectNoLeak(async () => {
      await fitCache(source, calibration);
      const signal = AbortSignal.abort(new Error('enough'));
      await expect(fitCache(source, calibration, { signal })).rejects.toThrow('enough');
    });
  });

  test('what has no such latents is refused', async () => {
    await expect(fitCache(await openTinyLlava(), calibration, { cache })).rejects.toThrow(
      /a converted model .* are needed, got an original, kvMethod=bands/,
    );
    await expect(fitCache(await convert({}), calibration)).rejects.toThrow(
      /got kvMethod=undefined/,
    );
    const split = await convert({ factor: 'split', rank: 4 });
    await expect(fitCache(split, calibration, { cache })).rejects.toThrow(/factor joint/);
  });
});
