import { expect, test } from 'vitest';
import { openTinyLlava } from '../convert/tiny-llava';
import { healWorkers } from './heal-workers';

test('one thread a core, for models that memory holds as often', async () => {
  const tiny = await openTinyLlava();
  expect(healWorkers([tiny, tiny], 7)).toBe(7);
  const gibibyte = { checkpoint: { tensors: new Map([['w', { shape: [2 ** 14, 2 ** 14] }]]) } };
  const models = [gibibyte] as unknown as Parameters<typeof healWorkers>[0];
  expect(healWorkers(models, 8)).toBe(3);
  expect(healWorkers([...models, ...models, ...models, ...models], 8)).toBe(1);
});
