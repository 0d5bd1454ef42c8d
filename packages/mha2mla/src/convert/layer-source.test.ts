import { expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { convertModel } from './convert-model';
import { readAttention, storedLayer } from './layer-source';
import { openTinyLlava, type TinyTensor } from './tiny-llava';

const PREFIX = 'language_model.model.layers.1.';

/** Convert a checkpoint with one tensor other than it should be (`undefined`: left out). */
async function convertWith(name: string, tensor: TinyTensor | undefined): Promise<void> {
  const source = await openTinyLlava({ tensors: { [PREFIX + name]: tensor } });
  await convertModel(source, memoryOutput(), {
    strategy: 'low',
    rank: 4,
    init: 'weights',
  });
}

function matrix(shape: [number, number], at: number, value: number): TinyTensor {
  const values = new Float32Array(shape[0] * shape[1]).fill(1);
  values[at] = value;
  return { dtype: 'F32', shape, values };
}

test.each([
  'self_attn.q_proj.weight',
  'self_attn.v_proj.weight',
  'mlp.up_proj.weight',
  'post_attention_layernorm.weight',
])('a layer without %s is refused by name', async (name) => {
  await expect(convertWith(name, undefined)).rejects.toThrow(`${PREFIX}${name}`);
});

test('a layer that is not there is refused before any work', async () => {
  await expect(convertWith('input_layernorm.weight', undefined)).rejects.toThrow(
    'without "language_model.model.layers.1.input_layernorm.weight"',
  );
});

test('a tensor of another shape is refused by name', async () => {
  await expect(convertWith('self_attn.k_proj.weight', matrix([8, 32], 0, 1))).rejects.toThrow(
    `"${PREFIX}self_attn.k_proj.weight" must be [16,32] by config.json, got [8,32]`,
  );
  const bias: TinyTensor = { dtype: 'F32', shape: [8], values: new Float32Array(8) };
  await expect(convertWith('self_attn.k_proj.bias', bias)).rejects.toThrow(
    `"${PREFIX}self_attn.k_proj.bias" must be [16] by config.json, got [8]`,
  );
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])(
  '%d is refused by name and place',
  async (bad) => {
    await expect(convertWith('mlp.gate_proj.weight', matrix([48, 32], 77, bad))).rejects.toThrow(
      `"${PREFIX}mlp.gate_proj.weight" must hold finite numbers, got ${bad} at element 77`,
    );
  },
);

test('reads what attention knows, biases where there are some', async () => {
  const inverse = { dtype: 'F32', shape: [4], values: Float32Array.of(1, 2, 3, 4) } as const;
  const buffer = `${PREFIX}self_attn.rotary_emb.inv_freq`;
  const source = await openTinyLlava({ bias: true, tensors: { [buffer]: inverse } });
  const stored = storedLayer(source, 1);
  expect(stored.prefix).toBe(PREFIX);
  expect(stored.tensors.map(({ name }) => name)).toContain(buffer);
  const layer = await readAttention(source, stored);
  const names = stored.tensors.map(({ name }) => name.slice(PREFIX.length));
  expect([...layer.keys()].sort()).toEqual(
    names.filter((name) => /self_attn\.[qkvo]_proj/.test(name)).sort(),
  );
  for (const [name, { shape, values }] of layer) {
    expect(source.checkpoint.tensors.get(PREFIX + name)!.shape).toEqual(shape);
    expect(await source.checkpoint.readFloat32(PREFIX + name)).toEqual(values);
  }
});
