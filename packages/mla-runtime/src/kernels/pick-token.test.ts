import { describeWebGpu, gaussian, openWebGpu } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import { argMax } from '../sample';
import { runWgsl } from '../testing/run-wgsl';
import { stepWords } from '../webgpu/wgsl-program';
import { NO_TOKEN, pickToken } from './pick-token';

async function pick(logits: Float32Array, topK = 1, temperature = 1, uniform = 0) {
  const { device } = await openWebGpu();
  const step = stepWords({ temperature, uniform });
  const program = pickToken(logits.length, topK);
  const options = topK > 1 ? { step } : {};
  const [token] = await runWgsl(device, program, new Uint32Array(1), [logits], options);
  return new Uint32Array(Float32Array.of(token!).buffer)[0]!;
}

describeWebGpu('pickToken', () => {
  test.each([1, 7, 256, 1000])(
    'of %d logits takes the largest, the first of equals',
    async (count) => {
      const logits = gaussian(count, count);
      expect(await pick(logits)).toBe(argMax(logits));
      expect(await pick(new Float32Array(count).fill(-2))).toBe(0);
    },
  );

  test('negative logits and infinities are numbers, NaN gives no token', async () => {
    const logits = gaussian(600, 1).map((value) => value - 100);
    logits[400] = Number.POSITIVE_INFINITY;
    expect(await pick(logits)).toBe(400);
    logits[400] = Number.NEGATIVE_INFINITY;
    expect(await pick(logits)).toBe(argMax(logits));
    logits[599] = Number.NaN;
    expect(await pick(logits)).toBe(NO_TOKEN);
    expect(await pick(logits, 4)).toBe(NO_TOKEN);
  });

  test('draws from the largest as on the host', async () => {
    const logits = gaussian(300, 2);
    const kept = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, 5);
    for (const uniform of [0, 0.2, 0.5, 0.8, 0.999]) {
      const weights = kept.map((i) => Math.exp((logits[i]! - logits[kept[0]!]!) / 0.7));
      let rest = uniform * weights.reduce((sum, weight) => sum + weight, 0);
      const chosen = kept.find((_, j) => {
        rest -= weights[j]!;
        return rest < 0;
      });
      expect(await pick(logits, 5, 0.7, uniform)).toBe(chosen);
    }
  });
});
