import { parseModelConfig } from '@mha2mla/checkpoint';
import { expect, test } from 'vitest';
import { parseClipConfig } from './clip-config';

const parse = (vision: object) =>
  parseClipConfig(parseModelConfig({ model_type: 'llava', text_config: {}, ...vision }));

test('without a vision_config the tower is the ViT-L/14 of the LLaVA classes', () => {
  const large = { hiddenSize: 1024, numHiddenLayers: 24, imageSize: 336, patchSize: 14 };
  for (const vision of [{}, { vision_config: null }]) expect(parse(vision)).toMatchObject(large);
});

test('keys that a vision_config leaves out are those of CLIPVisionConfig', () => {
  const base = { hiddenSize: 768, numHiddenLayers: 12, imageSize: 224, patchSize: 32 };
  expect(parse({ vision_config: {} })).toMatchObject(base);
  expect(parse({ vision_config: { patch_size: 16 } })).toMatchObject({ ...base, patchSize: 16 });
});
