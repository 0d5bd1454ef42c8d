import { readFileSync } from 'node:fs';
import { parseModelConfig } from '@mha2mla/checkpoint';
import { fixture } from '@mha2mla/testing';
import { expect, test } from 'vitest';
import { parseLlavaConfig } from '../llava-shared/llava-config';
import { prepareSquares } from './prepare-squares';

const CHECKPOINT = 'fixtures/hf/llava/checkpoint';
const read = (name: string) => JSON.parse(readFileSync(fixture(`${CHECKPOINT}/${name}`), 'utf8'));
const config = parseLlavaConfig(parseModelConfig(read('config.json')));
const processor = read('preprocessor_config.json');

test('pictures become the square of the tower', () => {
  const prepare = prepareSquares(config, processor);
  const { inputs, tokens } = prepare([
    { data: new Uint8Array(3 * 90 * 40), width: 90, height: 40 },
  ]);
  expect(inputs.pixelValues!.shape).toEqual([1, 3, 56, 56]);
  expect(tokens).toEqual([16]);
});

test.each([
  ['a crop of another size', { crop_size: { height: 4096, width: 4096 } }, '4096 x 4096'],
  ['no crop', { do_center_crop: false }, 'a size that changes'],
  ['another square', { do_center_crop: false, size: { height: 28, width: 28 } }, '28 x 28'],
])('%s is refused before any picture', (_, change, found) => {
  expect(() => prepareSquares(config, { ...processor, ...change })).toThrow(
    `pictures must become 56 x 56 by config.json, got ${found}`,
  );
});
