import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import '@tensorflow/tfjs-backend-cpu';
import { assertTrainable, selectModules, trainableShare } from './trainable-set';

const NAMES = [
  'vision_tower.encoder.layers.0.self_attn.q_proj',
  'language_model.layers.0.self_attn.q_proj',
  'language_model.layers.0.self_attn.k_proj',
  'language_model.layers.10.self_attn.q_proj',
  'language_model.layers.10.my_q_proj',
  'q_proj',
];

it('a list matches equal names and whole last parts, in the vision tower too', () => {
  expect(selectModules(NAMES, ['q_proj'])).toEqual([NAMES[0], NAMES[1], NAMES[3], NAMES[5]]);
  expect(selectModules(NAMES, ['layers.0.self_attn.k_proj'])).toEqual([NAMES[2]]);
});

it('a string must match the whole name', () => {
  expect(selectModules(NAMES, 'q_proj')).toEqual(['q_proj']);
  expect(selectModules(NAMES, 'language_model.*\\.(q|k)_proj')).toEqual(NAMES.slice(1, 4));
  expect(selectModules(NAMES, 'q_proj|language_model.*k_proj')).toEqual([NAMES[2], NAMES[5]]);
});

it('a target that matches nothing, or is no expression, is refused', () => {
  expect(() => selectModules(NAMES, ['proj'])).toThrow(/must match a module, got \["proj"\] for 6/);
  expect(() => selectModules(NAMES, '(q_proj')).toThrow(/must be a regular expression, got/);
});

it('the trainable set is compared whole, in any order', () => {
  expect(() => assertTrainable(['a', 'b'], ['b', 'a'])).not.toThrow();
  const six = ['a', 'b', 'c', 'd', 'e', 'f'];
  expect(() => assertTrainable(six, [])).toThrow('6 missing (a, b, c, d, e, ...)');
  expect(() => assertTrainable(['a'], ['a', 'norm'])).toThrow(
    '0 missing (none) and 1 unexpected (norm)',
  );
});

it('the trainable share counts elements', async () => {
  await tf.setBackend('cpu');
  const variable = tf.variable(tf.zeros([2, 5]));
  expect(trainableShare([{ name: 'a', variable }], 40)).toBe(0.25);
  expect(() => trainableShare([{ name: 'a', variable }], 9)).toThrow(/at least the 10.*got.*=9/);
  variable.dispose();
});
