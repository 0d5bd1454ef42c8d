import { parseModelConfig } from '@mha2mla/checkpoint';
import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import { ClipVisionTower, parseClipConfig } from '@mha2mla/vlm-adapters';
import { expect, test } from 'vitest';
import { printedBy, runExample } from '../demo/run-example.js';
import { vipLlava } from './vip-llava.js';

const SCRIPT = 'examples/fourth-family/convert-vip-llava.js';

test('a conversion that leaves nothing out changes nothing; one to a quarter takes a quarter', async () => {
  const output = await runExample(SCRIPT);
  const [tokens, after] = [...output.matchAll(/tokens ([\d,]+)/g)].map(([, ids]) => ids);
  expect(after!.split(',')).toEqual([...tokens!.split(','), '']);
  const [whole, quarter] = [...output.matchAll(/logits within (\S+)/g)].map(([, x]) => Number(x));
  expect(whole).toBeLessThan(1e-4);
  expect(quarter).toBeGreaterThan(0.01);
  expect(output).toContain('quarter: 256 -> 64 bytes a token');
  expect(output).toBe(await printedBy(SCRIPT));
});

const [W, D, S, LAYERS] = [16, 24, 28, [-2, -5, 1, 0]]; // widths, a picture's side, hidden states
const config = {
  model_type: 'vipllava',
  image_token_index: 19,
  projector_layernorm_eps: 0.01,
  vision_feature_layers: LAYERS,
  text_config: {
    ...{ model_type: 'llama', hidden_size: D, intermediate_size: 24, vocab_size: 20 },
    ...{ num_hidden_layers: 1, num_attention_heads: 4, rms_norm_eps: 1e-5 },
  },
  vision_config: {
    ...{ hidden_size: W, intermediate_size: 24, num_hidden_layers: 6, num_attention_heads: 2 },
    ...{ image_size: S, patch_size: 14 },
  },
};

describeBackends('features of VipLLaVA', () => {
  test('are the projector, in float64, of what towers cut off at each layer give', async () => {
    const drawn = new Map<string, Float32Array>();
    const weights = {
      shape: (name: string) => (name.endsWith('.bias') ? [] : undefined),
      async read(name: string, shape: readonly number[]) {
        const size = shape.reduce((product, length) => product * length, 1);
        const spread = shape.length > 1 ? Math.sqrt(shape[0]! / size) : 0.5;
        if (!drawn.has(name))
          drawn.set(
            name,
            gaussian(size, drawn.size).map((x) => spread * x),
          );
        return drawn.get(name)!;
      },
    };
    const parsed = vipLlava.parseConfig(parseModelConfig(config));
    const data = gaussian(2 * 3 * S * S, 99);
    const pixelValues = { data, shape: [2, 3, S, S] };
    let found: Float32Array | undefined;
    await expectNoLeak(async () => {
      const vision = await vipLlava.loadVision(parsed, weights);
      const { images } = vision.encode({ pixelValues });
      found = (await images!.data()) as Float32Array;
      images!.dispose();
      vision.dispose();
    });

    const clip = parseClipConfig(parsed.source);
    const states: Float32Array[] = [];
    for (const layer of LAYERS.map((at) => (at < 0 ? 7 + at : at))) {
      const cut = { ...clip, featureLayers: layer };
      const tower = await ClipVisionTower.load(cut, weights, 'vision_tower');
      const state = tower.encode(data, 2); // without the class token
      states.push((await state.data()) as Float32Array);
      state.dispose();
      tower.dispose();
    }
    const part = (name: string) => drawn.get(`multi_modal_projector.${name}`)!;
    const linear = (x: number[], name: string) =>
      Array.from(part(`${name}.bias`), (bias, row) =>
        x.reduce(
          (sum, value, i) => sum + value * part(`${name}.weight`)[row * x.length + i]!,
          bias,
        ),
      );
    const expected = Array.from({ length: 2 * 4 }, (_, patch) => {
      const x = states.flatMap((state) => [...state.subarray(patch * W, (patch + 1) * W)]);
      const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
      const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
      const [scale, shift] = ['weight', 'bias'].map((one) => part(`projector_layernorm.${one}`));
      const normed = x.map(
        (value, i) => ((value - mean) / Math.sqrt(variance + 0.01)) * scale![i]! + shift![i]!,
      );
      return linear(linear(normed, 'linear_1').map(gelu), 'linear_2');
    }).flat();
    expectClose(found!, expected, { abs: 1e-5 }); // float32 sums
  });
});

test('layers that the tower has not are refused', () => {
  const raw = { ...config, vision_feature_layers: [-2, 9] };
  const parsed = vipLlava.parseConfig(parseModelConfig(raw));
  const weights = { shape: () => undefined, read: async () => new Float32Array() };
  return expect(vipLlava.loadVision(parsed, weights)).rejects.toThrow('vision_feature_layers');
});

/** x Φ(x), the normal distribution by Simpson's rule. */
function gelu(x: number): number {
  const steps = 200;
  const density = (t: number) => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const weight = i === 0 || i === steps ? 1 : i % 2 ? 4 : 2;
    sum += weight * density((x * i) / steps);
  }
  return x * (0.5 + (sum * x) / steps / 3);
}
