import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it, test } from 'vitest';
import {
  checkDecoderConfig,
  type Decoder,
  type DecoderConfig,
  denseProjection,
  loadDecoder,
  loadDecoderLayer,
  prefillStep,
  textLayout,
} from './index';
import {
  type RandomDecoderOptions,
  type RandomWeights,
  randomConfig,
  randomWeights,
  readerOf,
} from './random-weights.reference';

function random(options: RandomDecoderOptions = {}) {
  const config = randomConfig(options);
  return { config, weights: randomWeights(config, options, gaussian) };
}

describe('checkDecoderConfig', () => {
  const good = randomConfig({ groups: 2 });
  const pairs = (...heads: number[][]) => ({
    ...good,
    mla: { groups: 1, ropePairs: [0, 1].map(() => heads.map((list) => Int32Array.from(list))) },
  });

  it('accepts what the families have', () => {
    checkDecoderConfig(good);
    checkDecoderConfig(randomConfig({ form: 'original', mropeSection: [0, 2, 2] }));
    checkDecoderConfig(pairs([], []));
  });

  test.each<[Partial<DecoderConfig>, RegExp]>([
    [{ hiddenSize: 0 }, /hiddenSize must be a positive integer, got 0/],
    [{ numHiddenLayers: 1.5 }, /numHiddenLayers must be a positive integer, got 1.5/],
    [{ vocabSize: Number.NaN }, /vocabSize must be a positive integer, got NaN/],
    [{ intermediateSize: -1 }, /intermediateSize must be a positive integer, got -1/],
    [{ rmsNormEps: 0 }, /rmsNormEps must be positive, got 0/],
    [{ ropeTheta: Number.NaN }, /ropeTheta must be positive, got NaN/],
    [{ numAttentionHeads: 3 }, /multiple of numKeyValueHeads, got 3 and 2/],
    [{ headDim: 7 }, /headDim must be even, got 7/],
    [{ mropeSection: [1, 1, 1] }, /3 counts that sum to headDim \/ 2 = 4, got \[1,1,1\]/],
    [{ mropeSection: [2, 2] }, /3 counts/],
    [{ mropeSection: [5, -1, 0] }, /3 counts/],
    [{ numHiddenLayers: 3 }, /one entry a layer \(3\), got 2/],
    [{ mla: { ...good.mla!, groups: 3 } }, /groups must divide numKeyValueHeads \(2\), got 3/],
    [{ mla: { ...good.mla!, groups: 0 } }, /groups must divide/],
    [{ mla: { ...good.mla!, groups: 0.5 } }, /groups must divide/],
    [pairs([0, 1]), /one list a KV head \(2\), got 1/],
    [pairs([0, 1], [0]), /must be 2 ascending pairs in \[0, 4\) for each head, got \[0\]/],
    [pairs([0, 1], [1, 0]), /ascending/],
    [pairs([0, 1], [1, 1]), /ascending/],
    [pairs([0, 1], [0, 4]), /in \[0, 4\)/],
    [pairs([0, 1], [-1, 0]), /in \[0, 4\)/],
  ])('refuses %o', (change, message) => {
    expect(() => checkDecoderConfig({ ...good, ...change })).toThrow(message);
  });
});

describeBackends('loadDecoder', () => {
  /** A load that must fail, and leave nothing behind. */
  async function expectFailure(config: DecoderConfig, weights: RandomWeights, message: RegExp) {
    const before = tf.memory().numTensors;
    await expect(loadDecoder(config, readerOf(weights))).rejects.toThrow(message);
    expect(tf.memory().numTensors, 'tensors left behind').toBe(before);
  }

  const { config, weights } = random({ decoupled: true });
  test.each([...weights.keys()].filter((name) => name.endsWith('.weight')))(
    'a missing %s fails by name and frees what was there',
    async (name) => {
      const rest: RandomWeights = new Map([...weights].filter(([other]) => other !== name));
      // Without its down_kv a folder is not seen as one of a latent.
      await expectFailure(config, rest, /is missing|must have kv_proj, or both/);
    },
  );

  test.each(['layers.1.self_attn.k_r_proj.bias', 'layers.0.self_attn.kv_proj_img.up_k.weight'])(
    'a wrong shape of %s fails by name and frees what was there',
    async (name) => {
      const wrong: RandomWeights = new Map(weights);
      wrong.set(name, { shape: [3], values: new Float32Array(3) });
      await expectFailure(config, wrong, /must be \[.*\], got \[3\]/);
    },
  );

  test.each<[string, RandomDecoderOptions, number, RegExp]>([
    ['a latent that is no multiple of the groups', {}, 2, /multiple of 2 groups, got 13/],
    ['separate latents in groups', { form: 'split' }, 2, /must have 1 group, got 2/],
  ])('%s is refused', async (_, options, groups, message) => {
    const given = random({ ...options, latent: 13 });
    const mla = { ...given.config.mla!, groups };
    await expectFailure({ ...given.config, mla }, given.weights, message);
  });

  test('a down projection of one dimension is refused', async () => {
    const wrong: RandomWeights = new Map(weights);
    wrong.set('layers.0.self_attn.kv_proj_img.down_kv.weight', {
      shape: [24],
      values: new Float32Array(24),
    });
    await expectFailure(config, wrong, /must have two dimensions, got \[24\]/);
  });

  test('abort rejects with the reason and frees what was there', async () => {
    const before = tf.memory().numTensors;
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = ({ loaded }: { loaded: number }) => {
      if (loaded === 1) setTimeout(() => controller.abort(reason));
    };
    const wide = random({ decoupled: true, numHiddenLayers: 200 });
    const options = { signal: controller.signal, onProgress };
    const loading = loadDecoder(wide.config, readerOf(wide.weights), options);
    await expect(loading).rejects.toBe(reason);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('tied embeddings are the head', async () => {
    const tied: RandomWeights = new Map(weights);
    tied.delete('lm_head.weight');
    const decoder = await loadDecoder({ ...config, tieWordEmbeddings: true }, readerOf(tied));
    const untied: RandomWeights = new Map(weights);
    untied.set('lm_head.weight', weights.get('embed_tokens.weight')!);
    const other = await loadDecoder(config, readerOf(untied));
    const x = tf.randomNormal([2, config.hiddenSize]);
    expect(await decoder.logits(x).data()).toEqual(await other.logits(x).data());
    decoder.dispose();
    other.dispose();
  });

  test('load, dispose, load again is flat', async () => {
    const bytes: number[] = [];
    for (let round = 0; round < 5; round++) {
      (await loadDecoder(config, readerOf(weights))).dispose();
      (await loadDecoderLayer(config, readerOf(weights), 1)).dispose();
      const { numTensors, numBytes } = tf.memory();
      bytes.push(numTensors, numBytes);
    }
    expect(bytes).toEqual(Array.from(bytes, (_, i) => bytes[i % 2]));
  });

  test('loading each form leaves nothing behind', async () => {
    for (const form of ['original', 'none', 'joint', 'split', 'key', 'value'] as const) {
      const given = random({ form });
      await expectNoLeak(async () => {
        (await loadDecoder(given.config, readerOf(given.weights))).dispose();
      });
    }
  });

  test('the bias of a side that is not compressed stays out of the latent', async () => {
    const given = random({ form: 'value', decoupled: true });
    const layer = await loadDecoderLayer(given.config, readerOf(given.weights), 0);
    const x = tf.zeros([1, 1, given.config.hiddenSize]);
    const down = layer.projections.get('self_attn.kv_proj_text.down_kv')!;
    const keys = [...(await down.apply(x).data())].slice(0, 2 * 4); // K * P
    expect(keys).toEqual(new Array(8).fill(0));
    layer.dispose();
  });

  test.each(['down_k', 'down_v'])('a bias of %s is kept', async (part) => {
    const given = random({ form: 'split' });
    const name = `layers.0.self_attn.kv_proj.${part}.bias`;
    const layer = async (values: RandomWeights) => {
      const loaded = await loadDecoderLayer(given.config, readerOf(values), 0);
      const bias = loaded.projections.get('self_attn.kv_proj.down_kv')!.bias;
      const result = bias && [...(await bias.data())];
      loaded.dispose();
      return result;
    };
    const own = [...given.weights.get(name)!.values];
    const other = `layers.0.self_attn.kv_proj.${part === 'down_k' ? 'down_v' : 'down_k'}.bias`;
    const without: RandomWeights = new Map([...given.weights].filter(([key]) => key !== other));
    const zeros = new Array<number>(12).fill(0);
    expect(await layer(without)).toEqual(
      part === 'down_k' ? [...own, ...zeros] : [...zeros, ...own],
    );
  });
});

describeBackends('setProjection', () => {
  test.each([
    'self_attn.q_proj',
    'self_attn.k_r_proj',
    'self_attn.kv_proj_img.down_kv',
    'self_attn.kv_proj_img.up_k',
    'self_attn.kv_proj_text.up_k',
    'self_attn.kv_proj_text.up_v',
    'self_attn.o_proj',
    'mlp.down_proj',
  ])('%s: prefill and decode follow it, and come back', async (name) => {
    const { config, weights } = random({ decoupled: true });
    const decoder = await loadDecoder(config, readerOf(weights));
    const embeds = tf.tensor3d(gaussian(5 * config.hiddenSize, 3), [1, 5, config.hiddenSize]);
    const layout = { batch: 1, length: 5, kinds: Uint8Array.of(1, 2, 2, 1, 1) };
    const run = async (of: Decoder) => {
      const step = prefillStep(layout, Int32Array.of(0, 1, 2, 3, 4), config);
      const cache = of.createCache(1);
      const hidden = await of.prefill(embeds, step, { cache });
      const logits = of.decode(Int32Array.of(3), Int32Array.of(5), cache);
      const result = [[...(await hidden.data())], [...(await logits.data())]] as const;
      tf.dispose([hidden, logits]);
      step.dispose();
      cache.dispose();
      return result;
    };
    const scaled: RandomWeights = new Map(weights);
    for (const part of ['weight', 'bias']) {
      const key = `layers.0.${name}.${part}`;
      const weight = weights.get(key);
      if (weight) scaled.set(key, { ...weight, values: weight.values.map((v) => 2 * v) });
    }
    const other = await loadDecoder(config, readerOf(scaled));
    const [layer] = decoder.layers;
    const before = await run(decoder);
    const original = layer!.projections.get(name)!;
    const bias = original.bias && (tf.mul(original.bias, 2) as tf.Tensor1D);
    const doubled = denseProjection(tf.mul(original.weight(), 2), bias);
    layer!.setProjection(name, doubled);
    expect(layer!.projections.get(name)).toBe(doubled);
    const changed = await run(decoder);
    expect(changed).not.toEqual(before);
    expect(changed).toEqual(await run(other));
    layer!.setProjection(name, original);
    expect(await run(decoder)).toEqual(before);
    embeds.dispose();
    for (const part of [doubled, other, decoder]) part.dispose();
  });

  test('refuses other names and widths', async () => {
    const { config, weights } = random();
    const layer = await loadDecoderLayer(config, readerOf(weights), 0);
    const narrow = denseProjection(tf.zeros([3, 4]));
    expect(() => layer.setProjection('self_attn.v_proj', narrow)).toThrow(
      /expected one of self_attn.q_proj, .*mlp.down_proj, got self_attn.v_proj/,
    );
    expect(() => layer.setProjection('mlp.up_proj', narrow)).toThrow(
      /mlp.up_proj must map 24 to 32 features, got 3 to 4/,
    );
    expect(() => denseProjection(tf.zeros([3, 4]), tf.zeros([3]))).toThrow(
      /must be \[4\].*got \[3\]/,
    );
    expect(() => narrow.apply(tf.zeros([2, 4]))).toThrow(/must be 3, got x=\[2,4\]/);
    layer.dispose();
  });
});

describeBackends('the observer of an attention', () => {
  test.each(['original', 'none', 'joint'] as const)(
    '%s: sees q and k before rotation',
    async (form) => {
      const { config, weights } = random({ form });
      const layer = await loadDecoderLayer(config, readerOf(weights), 0);
      const step = prefillStep(textLayout(2, 3), Int32Array.of(0, 1, 2, 0, 1, 2), config);
      const x = tf.tensor3d(gaussian(6 * config.hiddenSize, 1), [2, 3, config.hiddenSize]);
      const shapes: number[][] = [];
      const key = layer.projections.get(
        form === 'original' ? 'self_attn.k_proj' : 'self_attn.k_r_proj',
      )!;
      let seen: Float32Array | undefined;
      let expected: Float32Array | undefined;
      const output = layer.prefill(x, step, {
        observe: (observed) => {
          const { input, query, output } = observed;
          shapes.push(query.shape, observed.key.shape, output.shape);
          seen = observed.key.dataSync() as Float32Array;
          expected = key.apply(input).dataSync() as Float32Array;
        },
      });
      expect(shapes).toEqual([
        [2, 3, 32],
        [2, 3, form === 'original' ? 16 : 8],
        [2, 3, 24],
      ]);
      expect(seen).toEqual(expected);
      tf.dispose([x, output]);
      step.dispose();
      layer.dispose();
    },
  );
});
