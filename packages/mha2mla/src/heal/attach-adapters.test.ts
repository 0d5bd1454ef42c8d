import { memoryStore } from '@mha2mla/checkpoint';
import type { LoraProjection } from '@mha2mla/peft';
/** What adapters change of a decoder: nothing at first, A and B in training, nothing when they go. */
import { describeBackends, expectClose, expectNoLeak } from '@mha2mla/testing';
import { llava, openVlm, VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { traceModel } from '../trace/trace-model';
import { ADAPTERS, type AdapterOptions, attachAdapters } from './attach-adapters';
import { mergeAdapters } from './merge-adapters';
import { type TinyHealing, tinyAnswers, tinyHealing } from './tiny-healing';
import { trainTiny } from './train-tiny';
import { writeHealed } from './write-healed';

const { inputs } = tinyAnswers(3);
const all: AdapterOptions = { r: 4, loraAlpha: 4, targetModules: '.*self_attn.*', seed: 7 };

const healReport = {
  steps: 2,
  trainableShare: 0.1,
  loss: { first: 1, last: 1 },
  losses: [1, 1],
  options: {},
};

async function logits(model: VisionLanguageModel): Promise<Float32Array> {
  return (await traceModel(model, inputs)).get('logits')!.values as Float32Array;
}

/** Load a model, and list every tensor that it holds. */
async function loadTracked(source: VlmSource) {
  const engine = tf.engine();
  engine.startScope('load');
  const model = await VisionLanguageModel.load(source);
  const tensors = engine.state.activeScope.track.filter((tensor) => !tensor.isDisposed);
  for (const tensor of tensors) tf.keep(tensor);
  engine.endScope();
  return { model, tensors };
}

async function valuesOf(tensors: readonly tf.Tensor[]): Promise<Float32Array[]> {
  const values = await Promise.all(tensors.map((tensor) => tensor.data()));
  return values.map((own) => Float32Array.from(own));
}

describeBackends('adapters on a decoder', () => {
  let tiny: TinyHealing;

  beforeAll(async () => {
    tiny = await tinyHealing({ bias: true });
  });
  afterAll(() => tiny.dispose());

  test('change no logit, to the bit, as B starts at zero', async () => {
    const before = await logits(tiny.student);
    const adapters = attachAdapters(tiny.student.decoder, all);
    expect(await logits(tiny.student)).toEqual(before);
    adapters.detach();
  });

  test('training changes every A and B, and no other tensor of the model by one bit', async () => {
    const { model, tensors } = await loadTracked(tiny.converted);
    expect(tensors.length).toBe(tiny.converted.checkpoint.tensors.size);
    const [frozen, before] = [await valuesOf(tensors), await logits(model)];
    const adapters = attachAdapters(model.decoder, all);
    const variables = adapters.parameters.map(({ variable }) => variable);
    const started = await valuesOf(variables);
    // The first update moves B, which is what gives A a gradient.
    await trainTiny(model, tiny.teacher.decoder, adapters, { steps: 2 });
    for (const [i, values] of (await valuesOf(variables)).entries()) {
      expect(values, adapters.parameters[i]!.name).not.toEqual(started[i]);
    }
    expect(await logits(model)).not.toEqual(before);
    expect(await valuesOf(tensors)).toEqual(frozen);
    adapters.detach();
    expect(await logits(model)).toEqual(before);
    model.dispose();
  });

  test('detached, the frozen maps are back and no tensor is left', async () => {
    const { student } = tiny;
    const maps = () => student.decoder.layers.flatMap((layer) => [...layer.projections.values()]);
    const [frozen, before, tensors] = [maps(), await logits(student), tf.memory().numTensors];
    const adapters = attachAdapters(student.decoder, all);
    expect(tf.memory().numTensors).toBe(tensors + adapters.parameters.length);
    adapters.detach();
    expect(tf.memory().numTensors).toBe(tensors);
    expect(maps().every((map, i) => map === frozen[i])).toBe(true);
    expect(await logits(student)).toEqual(before);
  });

  test('decoding by absorbed weights follows what was trained', async () => {
    const { student, teacher } = tiny;
    const adapters = attachAdapters(student.decoder, all);
    await trainTiny(student, teacher.decoder, adapters, { steps: 2, learningRate: 0.05 });
    const absorbed = await traceModel(student, inputs, { attention: 'absorbed' });
    const real = (values: Float32Array) =>
      values.filter((_, i) => inputs.attentionMask[Math.floor(i / 40)] === 1);
    // Logits of size 3 by two ways to sum.
    expectClose(real(absorbed.get('logits')!.values as Float32Array), real(await logits(student)), {
      abs: 2e-5,
    });
    adapters.detach();
  });

  test('attached, trained and detached, leave nothing behind', () =>
    expectNoLeak(async () => {
      const adapters = attachAdapters(tiny.student.decoder, all);
      await trainTiny(tiny.student, tiny.teacher.decoder, adapters, { steps: 1 });
      adapters.detach();
    }));
});

describeBackends('training by each kind of adapter', () => {
  test.each(ADAPTERS)('%s: what was chosen moves, and nothing else by one bit', async (adapter) => {
    const tiny = await tinyHealing({ layers: 1, bias: true });
    const { model, tensors } = await loadTracked(tiny.converted);
    const [frozen, before] = [await valuesOf(tensors), await logits(model)];
    const options: AdapterOptions = { ...all, targetModules: 'v4', adapter, biases: true };
    const adapters = attachAdapters(model.decoder, options);
    const names = [...adapters.changed.keys()];
    expect(names.filter((name) => /o_proj|k_r_proj|mlp/.test(name))).toEqual([]);
    expect(names).toContain('norm.weight');
    expect(names).toContain('layers.0.self_attn.q_proj.bias');
    await trainTiny(model, tiny.teacher.decoder, adapters, { steps: 2 });
    const trained = await logits(model);
    expect(trained).not.toEqual(before);
    const merged = await mergeAdapters(adapters);
    expect([...merged.keys()]).toEqual(names);
    adapters.detach();
    expect(await logits(model)).toEqual(before);
    expect(await valuesOf(tensors)).toEqual(frozen);
    model.dispose();
    // The weights that were read off give what the adapters gave.
    const output = memoryOutput();
    await writeHealed(tiny.converted, output, merged, healReport);
    const healed = await VisionLanguageModel.load(
      await openVlm(memoryStore(output.files), { families: [llava] }),
    );
    expectClose(await logits(healed), trained, { abs: 2e-5 });
    healed.dispose();
    tiny.dispose();
  });
});

describeBackends('the trainable set', () => {
  let tiny: TinyHealing;

  beforeAll(async () => {
    tiny = await tinyHealing({ layers: 1 });
  });
  afterAll(() => tiny.dispose());

  const namesOf = (options: Partial<AdapterOptions>) => {
    const adapters = attachAdapters(tiny.student.decoder, { ...all, ...options });
    adapters.detach();
    return adapters.parameters.map(({ name }) => name);
  };

  test('has A and B of each map of the attention, by the names of PEFT', () => {
    const maps = [
      'q_proj',
      'k_r_proj',
      'o_proj',
      ...['img', 'text'].flatMap((modality) =>
        ['down_kv', 'up_k', 'up_v'].map((map) => `kv_proj_${modality}.${map}`),
      ),
    ];
    const expected = maps.flatMap((map) =>
      ['A', 'B'].map((part) => `layers.0.self_attn.${map}.lora_${part}.weight`),
    );
    expect(namesOf({}).sort()).toEqual(expected.sort());
  });

  test('of partial RoPE has its two rotary maps, its keys and values, and the output', async () => {
    const partial = await tinyHealing({ layers: 1 }, { factor: 'none' });
    for (const [targetModules, maps] of Object.entries({
      '.*self_attn.*': ['q_proj', 'k_r_proj', 'kv_proj.up_k', 'kv_proj.up_v', 'o_proj'],
      v3: ['q_proj', 'k_r_proj', 'kv_proj.up_k', 'kv_proj.up_v'],
    })) {
      const options = { ...all, targetModules, adapter: 'none' } as const;
      const adapters = attachAdapters(partial.student.decoder, options);
      const names = maps.map((map) => `layers.0.self_attn.${map}.weight`);
      expect([...adapters.changed.keys()].sort()).toEqual(names.sort());
      adapters.detach();
    }
    partial.dispose();
  });

  test.each<[AdapterOptions['targetModules'], string[]]>([
    [['q_proj'], ['self_attn.q_proj']],
    ['.*kv_proj_img\\.up_.', ['self_attn.kv_proj_img.up_k', 'self_attn.kv_proj_img.up_v']],
    ['.*mlp\\.up_proj', ['mlp.up_proj']],
  ])('of %o has %o', (targetModules, maps) => {
    const expected = maps.flatMap((map) => [
      `layers.0.${map}.lora_A.weight`,
      `layers.0.${map}.lora_B.weight`,
    ]);
    expect(namesOf({ targetModules })).toEqual(expected);
  });

  const latent = ['img', 'text'].flatMap((modality) =>
    ['down_kv', 'up_k', 'up_v'].map((map) => `self_attn.kv_proj_${modality}.${map}`),
  );
  const norms = ['layers.0.input_layernorm', 'layers.0.post_attention_layernorm', 'norm'];
  test.each<[string, string[], string[]]>([
    ['v2', ['self_attn.q_proj', 'self_attn.o_proj', 'self_attn.k_r_proj', ...latent], norms],
    ['v3', ['self_attn.q_proj', 'self_attn.k_r_proj', ...latent], []],
    ['v4', ['self_attn.q_proj', ...latent], norms],
    ['v5', latent, []],
    ['v6', latent.filter((map) => map.endsWith('down_kv')), []],
  ])("of the reference's %s has %o, norms %o", (targetModules, maps, trained) => {
    const expected = [...maps.map((map) => `layers.0.${map}`), ...trained];
    const names = expected.map((name) => `${name}.weight`);
    expect(namesOf({ targetModules, adapter: 'none' }).sort()).toEqual(names.sort());
  });

  test('has the biases of its maps where they are asked for', async () => {
    const biased = await tinyHealing({ layers: 1, bias: true });
    for (const adapter of ADAPTERS) {
      const options = { ...all, targetModules: ['q_proj', 'o_proj'], adapter };
      const names = ['q_proj', 'o_proj'].map((map) => `layers.0.self_attn.${map}.bias`);
      const adapters = attachAdapters(biased.student.decoder, { ...options, biases: true });
      const trained = adapters.parameters.map(({ name }) => name);
      adapters.detach();
      const has = names.filter((name) => trained.includes(name));
      // LLaMA has no bias behind the attention.
      expect(has).toEqual(names.slice(0, 1));
    }
    biased.dispose();
  });

  test.each([[['k_proj']], ['.*k_proj'], ['self_attn.*']])(
    'a policy that matches nothing is refused: %o',
    (targetModules) => {
      const before = tf.memory().numTensors;
      expect(() => namesOf({ targetModules })).toThrow('targetModules must match a module');
      expect(tf.memory().numTensors).toBe(before);
    },
  );

  test('an r beyond a map is cut to it, at the same scale', () => {
    const adapters = attachAdapters(tiny.student.decoder, { ...all, r: 20, loraAlpha: 10 });
    const widths = [...adapters.modules].map(([module, adapted]) => {
      const { parameters, scale } = adapted as LoraProjection;
      expect(scale).toBe(0.5);
      return [module.split('self_attn.')[1], parameters[0]!.variable.shape[0]];
    });
    adapters.detach();
    // 4 heads of 8 dims of width 32, 2 KV heads of which 4 dims turn, a latent of 2 x 4.
    expect(Object.fromEntries(widths)).toMatchObject({
      q_proj: 20,
      k_r_proj: 8,
      'kv_proj_img.down_kv': 8,
      'kv_proj_img.up_k': 8,
      o_proj: 20,
    });
  });

  test('has nothing of a latent of no width', async () => {
    const turned = await tinyHealing({ layers: 1 }, { ropeDim: 8 });
    const adapters = attachAdapters(turned.student.decoder, all);
    expect([...adapters.modules.keys()].filter((name) => name.includes('up_k'))).toEqual([]);
    adapters.detach();
    turned.dispose();
  });
});
