import { expect, test } from 'vitest';
import { joinAttention } from './join-attention';
import type { LayerTensor } from './layer-weights';
import { splitAttention } from './split-attention';
import { openTinyLlava } from './tiny-llava';

const { decoder: config } = (await openTinyLlava()).config; // D 32, 4 heads, 2 KV heads of 8 dims

function tensor(seed: number, ...shape: number[]): LayerTensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return { shape, values: Float32Array.from({ length: size }, (_, i) => 1000 * seed + i) };
}

const original = new Map([
  ['self_attn.q_proj.weight', tensor(1, 32, 32)],
  ['self_attn.q_proj.bias', tensor(2, 32)],
  ['self_attn.k_proj.weight', tensor(3, 16, 32)],
  ['self_attn.k_proj.bias', tensor(4, 16)],
  ['self_attn.v_proj.weight', tensor(5, 16, 32)],
  ['self_attn.v_proj.bias', tensor(6, 16)],
  ['self_attn.o_proj.weight', tensor(7, 32, 32)],
]);

/** A layer as partial RoPE stores it. */
function split(pairs: Int32Array[]): Map<string, LayerTensor> {
  const { rotary, key, value } = splitAttention(config, original, pairs);
  return new Map([
    ...rotary,
    ['self_attn.kv_proj.up_k.weight', key.weight],
    ['self_attn.kv_proj.up_k.bias', key.bias!],
    ['self_attn.kv_proj.up_v.weight', value.weight],
    ['self_attn.kv_proj.up_v.bias', value.bias!],
    ['self_attn.o_proj.weight', original.get('self_attn.o_proj.weight')!],
  ]);
}

test.each<[string, number[][]]>([
  [
    'pairs of its own a head',
    [
      [0, 3],
      [1, 2],
    ],
  ],
  ['no pair', [[], []]],
  [
    'all pairs',
    [
      [0, 1, 2, 3],
      [0, 1, 2, 3],
    ],
  ],
])('split, then joined, a layer is itself: %s', (_, heads) => {
  const pairs = heads.map((own) => Int32Array.from(own));
  const joined = joinAttention(config, split(pairs), pairs);
  expect(new Map([...joined].sort())).toEqual(new Map([...original].sort()));
});

test('keys of which only some rows have a bias have zeros in the others', () => {
  const pairs = [Int32Array.of(0), Int32Array.of(0)];
  const parts = split(pairs);
  parts.delete('self_attn.k_r_proj.bias');
  const { values } = joinAttention(config, parts, pairs).get('self_attn.k_proj.bias')!;
  const whole = original.get('self_attn.k_proj.bias')!.values;
  expect(values).toEqual(whole.map((bias, row) => (row % 4 === 0 ? 0 : bias)));
});
