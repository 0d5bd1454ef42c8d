import { nodeStore } from '@mha2mla/checkpoint/node';
import { fixture } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import { assertComplete, tensorDifference } from './expected-tensors';
import { llava } from './llava/llava-family';
import { llavaNext } from './llava-next/llava-next-family';
import { openVlm, type VlmSource } from './open-vlm';
import { qwen25Vl } from './qwen2-5-vl/qwen2-5-vl-family';

async function open(folder: string): Promise<VlmSource> {
  const store = await nodeStore(fixture(folder));
  const source = await openVlm(store, { families: [llava, llavaNext, qwen25Vl] });
  await store.close?.();
  return source;
}

/** The source with its tensor names changed. */
function renamed(source: VlmSource, rename: (name: string) => string | undefined): VlmSource {
  const tensors = new Map(
    [...source.checkpoint.tensors].flatMap(([name, info]) => {
      const other = rename(name);
      return other === undefined ? [] : [[other, info] as const];
    }),
  );
  const storedName = (name: string) =>
    source.family.storedNames(name).find((stored) => tensors.has(stored));
  const weights = Object.assign(Object.create(source.weights), { storedName });
  return { ...source, weights, checkpoint: { ...source.checkpoint, tensors } };
}

test.each([
  'fixtures/hf/llava/checkpoint',
  'fixtures/hf/llava_next/checkpoint',
  'fixtures/hf/qwen2_5_vl/checkpoint',
  'models/llava',
])('%s lacks nothing', async (folder) => {
  expect(tensorDifference(await open(folder))).toEqual({ missing: [], unexpected: [] });
});

test('what is gone is missing, and what is new is unexpected, by stored name', async () => {
  const source = await open('models/llava');
  const gone = 'language_model.model.layers.2.mlp.up_proj.weight';
  expect(tensorDifference(renamed(source, (name) => (name === gone ? undefined : name)))).toEqual({
    missing: [gone],
    unexpected: [],
  });
  expect(
    tensorDifference(renamed(source, (name) => (name === gone ? 'other.weight' : name))),
  ).toEqual({
    missing: [gone],
    unexpected: ['other.weight'],
  });
});

test.each([
  ['llava', 'vision_tower.vision_model.encoder.layers.1.mlp.fc1.bias'],
  ['llava_next', 'multi_modal_projector.linear_1.bias'],
  ['qwen2_5_vl', 'model.layers.2.self_attn.k_proj.bias'],
  ['qwen2_5_vl', 'visual.blocks.3.attn.qkv.bias'],
])('%s is refused without the bias %s', async (family, gone) => {
  const source = await open(`fixtures/hf/${family}/checkpoint`);
  expect(source.checkpoint.tensors.has(gone)).toBe(true);
  const without = renamed(source, (name) => (name === gone ? undefined : name));
  expect(() => assertComplete(without)).toThrow(`without "${gone}"`);
});

test('a checkpoint that lacks weights is refused with the family, five names of each kind', async () => {
  const source = await open('models/llava');
  expect(() => assertComplete(source)).not.toThrow();
  const names = [0, 1, 2, 3].flatMap((layer) =>
    ['up', 'down'].map((part) => `language_model.model.layers.${layer}.mlp.${part}_proj.weight`),
  );
  const moved = renamed(source, (name) => (names.includes(name) ? `extra.${name}` : name));
  try {
    assertComplete(moved);
    expect.unreachable();
  } catch (error) {
    const { message } = error as Error;
    expect(message).toMatch(/^assertComplete: the llava family expects all its weights, got/);
    expect(message.match(/ and 3 more/g)).toHaveLength(2);
    expect(message.match(/"extra\.[^"]*"/g)).toHaveLength(5);
    expect(message.match(/"language_model[^"]*"/g)).toHaveLength(5);
  }
});
