import { memorySource, openSafetensors, writeSafetensors } from '@mha2mla/checkpoint';
import { AdamW, type TrainableParameter } from '@mha2mla/peft';
import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { captureState, type HealState, readState, restoreState, writeState } from './heal-state';

const SHAPES: Record<string, [number, number]> = { 'layers.0.a': [3, 4], 'layers.0.b': [2, 5] };

function parameters(): TrainableParameter[] {
  return Object.entries(SHAPES).map(([name, shape], i) => ({
    name,
    variable: tf.tidy(() => tf.variable(tf.tensor(gaussian(shape[0] * shape[1], i), shape))),
  }));
}

function update(optimizer: AdamW, names: readonly string[], seed: number): void {
  tf.tidy(() => {
    const grads = names.map((name) => {
      const [rows, columns] = SHAPES[name]!;
      return [name, tf.tensor(gaussian(rows * columns, seed), [rows, columns])];
    });
    optimizer.step(Object.fromEntries(grads), 0.1);
  });
}

async function throughFile(state: HealState): Promise<HealState> {
  const output = memoryOutput();
  await output.write('state', (sink) => writeState(sink, state));
  return readState(await openSafetensors(memorySource(output.files.get('state')!)));
}

const sizes = ({ tensors }: HealState) =>
  Object.fromEntries([...tensors].map(([name, { shape }]) => [name, [...shape]]));

describeBackends('the state of a run', () => {
  test('goes on to the same bits, also where a parameter rested', async () => {
    const [whole, broken] = [parameters(), parameters()];
    const [a, b] = Object.keys(SHAPES) as [string, string];
    const unbroken = new AdamW(whole);
    const before = new AdamW(broken);
    for (const optimizer of [unbroken, before]) {
      update(optimizer, [a, b], 11);
      update(optimizer, [a], 12);
    }
    const state = await captureState([0.5, 1 / 3], broken, before);
    expect(state.steps).toEqual({ [a]: 2, [b]: 1 });
    const stored = await throughFile(state);
    expect(stored).toEqual({ ...state, tensors: expect.any(Map) });
    expect([...stored.tensors].sort()).toEqual([...state.tensors].sort());

    const other = parameters();
    tf.tidy(() => other[0]!.variable.assign(tf.zeros([3, 4])));
    const after = new AdamW(other);
    restoreState(stored, other, after);
    for (const optimizer of [unbroken, after]) update(optimizer, [a, b], 13);
    for (const [i, { variable }] of whole.entries()) {
      expect(await other[i]!.variable.data()).toEqual(await variable.data());
    }
    for (const optimizer of [unbroken, before, after]) optimizer.dispose();
    tf.dispose([...whole, ...broken, ...other].map(({ variable }) => variable));
  });

  test('before the first update, and before the first of a parameter, has no moments', async () => {
    const own = parameters();
    const optimizer = new AdamW(own);
    const state = await throughFile(await captureState([], own, optimizer));
    expect(sizes(state)).toEqual(SHAPES);
    restoreState(state, own, optimizer);
    update(optimizer, ['layers.0.a'], 1);
    const later = await captureState([1], own, optimizer);
    expect(Object.keys(sizes(later)).filter((name) => name.includes('exp_avg'))).toEqual([
      'layers.0.a.exp_avg',
      'layers.0.a.exp_avg_sq',
    ]);
    restoreState(later, own, optimizer);
    optimizer.dispose();
    tf.dispose(own.map(({ variable }) => variable));
  });

  test('of another run is refused by name, and nothing is changed', async () => {
    const own = parameters();
    const optimizer = new AdamW(own);
    update(optimizer, Object.keys(SHAPES), 1);
    const state = await captureState([1], own, optimizer);
    const without = (name: string) => new Map([...state.tensors].filter(([key]) => key !== name));
    const wide = new Map(state.tensors).set('layers.0.b', {
      shape: [5, 2],
      values: new Float32Array(10),
    });
    const refused: [Partial<HealState>, string][] = [
      [{ tensors: without('layers.0.b') }, 'layers.0.b must be [2,5], got nothing'],
      [{ tensors: wide }, 'layers.0.b must be [2,5], got [5,2]'],
      [{ tensors: without('layers.0.a.exp_avg_sq') }, 'layers.0.a.exp_avg_sq must be [3,4]'],
      [{ steps: { ...state.steps, 'layers.1.a': 1 } }, 'got layers.1.a'],
    ];
    update(optimizer, Object.keys(SHAPES), 2);
    const before = await captureState([1, 2], own, optimizer);
    for (const [change, message] of refused) {
      expect(() => restoreState({ ...state, ...change }, own, optimizer)).toThrow(message);
    }
    expect(await captureState([1, 2], own, optimizer)).toEqual(before);
    optimizer.dispose();
    tf.dispose(own.map(({ variable }) => variable));
  });

  test('captured and restored leaves nothing behind', () =>
    expectNoLeak(async () => {
      const own = parameters();
      const optimizer = new AdamW(own);
      update(optimizer, Object.keys(SHAPES), 1);
      restoreState(await captureState([1], own, optimizer), own, optimizer);
      optimizer.dispose();
      tf.dispose(own.map(({ variable }) => variable));
    }));
});

test.each<[string, Record<string, string>]>([
  ['no losses', { steps: '{}' }],
  ['no steps', { losses: '[]' }],
  ['losses that are no numbers', { losses: '["1"]', steps: '{}' }],
  ['counts that are none', { losses: '[1]', steps: '{"a":0.5}' }],
  ['counts in a list', { losses: '[1]', steps: '[1]' }],
])('a file with %s is no state', async (_, metadata) => {
  const output = memoryOutput();
  await output.write('state', (sink) =>
    writeSafetensors(sink, [], () => new Uint8Array(), { metadata }),
  );
  const file = await openSafetensors(memorySource(output.files.get('state')!));
  await expect(readState(file)).rejects.toThrow(/readState: metadata must have losses/);
});
