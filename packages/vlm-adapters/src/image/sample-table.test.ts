import { expect, test } from 'vitest';
import { parseSampleSettings } from './sample-settings';
import { sampleTable } from './sample-table';

const tableOf = (json: object, channel = 0) =>
  sampleTable(parseSampleSettings('test', { ...json }), channel);

test('a level is scaled, centred and divided by the deviation of its channel', () => {
  const json = { rescale_factor: 0.5, image_mean: [0, 8, 0], image_std: [1, 4, 1] };
  expect([...tableOf(json, 1)]).toEqual(Array.from({ length: 256 }, (_, i) => (i / 2 - 8) / 4));
  expect(tableOf({ do_rescale: false, do_normalize: false })[255]).toBe(255);
});

test.each([
  ['a deviation that is 0 in float32', { image_std: [1e-50, 1, 1] }],
  ['a deviation that takes values beyond float32', { image_std: [1e-42, 1, 1] }],
  ['a mean beyond float32', { image_mean: [1e300, 0, 0] }],
  ['a factor beyond float32', { rescale_factor: 1e300 }],
])('%s is refused', (_, json) => {
  expect(() => tableOf(json)).toThrow(/must give each grey level a finite value, got -?(Inf|NaN)/);
});
