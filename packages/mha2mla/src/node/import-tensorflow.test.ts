import util from 'node:util';
import { expect, test } from 'vitest';
import { importTensorFlow } from './import-tensorflow';

const broken = 'data:text/javascript,throw new Error("libtensorflow.so.2: no such file\\nmore")';

test('a package that is not installed is not called broken', async () => {
  const missing = await importTensorFlow(['@tensorflow/tfjs-node-of-nobody']);
  expect(missing).toEqual({ broken: [], cause: undefined });
});

test('a package that is installed and does not load is named, with the first line of why', async () => {
  const missing = await importTensorFlow(['@tensorflow/tfjs-node-of-nobody', broken]);
  expect(missing!.broken).toEqual([`${broken} does not load: libtensorflow.so.2: no such file`]);
  expect(missing!.cause).toBeInstanceOf(Error);
});

test('the first that loads is enough', async () => {
  expect(await importTensorFlow([broken, 'data:text/javascript,', broken])).toBeUndefined();
});

test('what Node 23 took out of util is there again', async () => {
  const module = util as unknown as Record<string, unknown>;
  for (const name of ['isNullOrUndefined', 'isArray']) delete module[name];
  await importTensorFlow([]);
  expect(util).toMatchObject({ isNullOrUndefined: expect.any(Function), isArray: Array.isArray });
  const { isNullOrUndefined } = module as { isNullOrUndefined(value: unknown): boolean };
  expect([null, undefined, 0, ''].map(isNullOrUndefined)).toEqual([true, true, false, false]);
});
