/** What a pass before a conversion by budget measures, and how it is shared out. */
import { PADDING } from '@mha2mla/mla-runtime';
import { describeBackends, expectNoLeak } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { allocateLatents } from './allocate-latents';
import { attentionSamples } from './attention-samples';
import { attentionShares } from './attention-shares';
import { disposeBatch } from './calibration-batch';
import { embedCalibration } from './embed-calibration';
import { inlineRunner } from './inline-runner';
import { type MeasuredLayer, measureLayers } from './measure-layers';
import { planConversion } from './plan-conversion';
import { residualScale } from './residual-scale';
import { openTinyLlava, tinyInputs } from './tiny-llava';

const source = await openTinyLlava({ layers: 2, kvHeads: 2, bias: true });
const { decoder: config } = source.config;
const budget = { kvBudget: 0.4, allocation: 'measured' } as const;

describeBackends('the measuring pass', () => {
  test('gives what each rank loses, falling to what the highest does', async () => {
    const plan = planConversion(config, budget);
    const run = { source, output: memoryOutput(), plan, factorize: inlineRunner, highest: 14 };
    await expectNoLeak(async () => {
      const layers = await measureLayers({ ...run, calibration: [tinyInputs(1), tinyInputs(2)] });
      expect(layers).toHaveLength(2);
      for (const { errors, shares, residual } of layers) {
        for (const modality of ['vision', 'text'] as const) {
          const own = errors[modality]!;
          expect(own).toHaveLength(15);
          for (const [rank, error] of own.entries()) {
            if (rank > 0) expect(error).toBeLessThanOrEqual(own[rank - 1]!);
          }
          // All keys and values: nothing but rounding is lost.
          expect(own[14]! / own[0]!).toBeLessThan(1e-9);
          expect(shares[modality]).toBeGreaterThan(0);
        }
        // Squares of weights that sum to 1.
        expect(shares.vision + shares.text).toBeLessThan(1);
        expect(residual).toBeGreaterThan(0);
      }
    });
  });

  test('the residual stream is the mean of its energies, padding left out', async () => {
    const [batch] = await embedCalibration(source, [tinyInputs(1, 3)]);
    const hidden = await batch!.hidden.read();
    const values = (await hidden.data()) as Float32Array;
    hidden.dispose();
    const width = config.hiddenSize;
    const energies = [...batch!.step.layout.kinds.entries()]
      .filter(([, kind]) => kind !== PADDING)
      .map(([token]) => {
        const own = values.subarray(token * width, (token + 1) * width);
        return own.reduce((sum, value) => sum + value * value, 0);
      });
    const mean = energies.reduce((sum, value) => sum + value, 0) / energies.length;
    await expectNoLeak(async () => {
      // Sums of 32 squares in float32.
      expect((await residualScale([batch!])) / mean).toBeCloseTo(1, 5);
    });
    disposeBatch(batch!);
    expect(await residualScale([])).toBe(0);
  });

  test('queries of zero see all keys alike: shares are those of counting', async () => {
    const [batch] = await embedCalibration(source, [tinyInputs(1, 1)]);
    const { length } = batch!.step.layout;
    const heads = (count: number) => new Float32Array(length * count * 8);
    const samples = attentionSamples(config, batch!, heads(4), heads(2), length, 1);
    await expectNoLeak(async () => {
      const shares = await attentionShares(config, samples);
      // The picture's four tokens are the columns 2 to 5; rows of text behind it see i + 1 keys.
      const rows = Array.from({ length: length - 6 }, (_, i) => i + 7);
      const mean = (of: (seen: number) => number) =>
        rows.reduce((sum, seen) => sum + of(seen), 0) / rows.length;
      expect(shares.vision).toBeCloseTo(
        mean((seen) => 4 / seen ** 2),
        6,
      );
      expect(shares.text).toBeCloseTo(
        mean((seen) => (seen - 4) / seen ** 2),
        6,
      );
      expect(await attentionShares(config, [])).toEqual({ vision: 0, text: 0 });
    });
    disposeBatch(batch!);
  });
});

describe('sharing a budget', () => {
  const wide = { ...config, headDim: 32, hiddenSize: 128 };
  const plan = planConversion(wide, budget);
  const errors = Array.from({ length: 57 }, (_, rank) => 0.8 ** rank);
  const layer = (vision: number, text: number, residual = 1): MeasuredLayer => ({
    errors: { vision: errors, text: errors },
    shares: { vision, text },
    residual,
  });
  const given = plan as typeof plan & { rank: number; kvBudget: number };

  test('latents that weigh alike get the one rank', () => {
    const ranks = allocateLatents(wide, given, [layer(0.5, 0.5), layer(0.5, 0.5)]);
    // Bytes that are left buy some a dim more.
    for (const rank of [...ranks.vision, ...ranks.text]) {
      expect([given.rank, given.rank + 1]).toContain(rank);
    }
  });

  test('what weighs more, or changes a smaller stream, gets more, within bounds', () => {
    const modality = allocateLatents(wide, given, [layer(0.9, 0.1), layer(0.9, 0.1)]);
    expect(modality.vision[0]).toBeGreaterThan(modality.text[0]!);
    const depth = allocateLatents(wide, given, [layer(0.5, 0.5), layer(0.5, 0.5, 1e6)]);
    const { rank } = given;
    expect(depth.vision[1]).toBe(Math.ceil(rank / 1.5));
    expect(depth.vision[0]).toBeGreaterThan(rank);
    expect(depth.vision[0]).toBeLessThanOrEqual(1.5 * rank);
  });

  test('a shared latent has one rank a layer', () => {
    const shared = { ...given, decouple: false };
    const ranks = allocateLatents(wide, shared, [layer(0.9, 0.1), layer(0.9, 0.1, 4)]);
    expect(ranks.vision).toEqual(ranks.text);
    expect(ranks.vision[0]).toBeGreaterThan(ranks.vision[1]!);
  });
});
