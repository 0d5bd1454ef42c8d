import { expect, test } from 'vitest';
import * as api from './index';

test('the package exports these names and no others', () => {
  expect(Object.keys(api).sort()).toEqual([
    'ChatSession',
    'CheckpointWeights',
    'ClipVisionTower',
    'LATENT_SCALES',
    'VisionLanguageModel',
    'assertComplete',
    'assertFits',
    'cacheBlock',
    'createClipImageProcessor',
    'createProcessor',
    'createQwen25Vl',
    'createStopTexts',
    'createTokenStream',
    'decoderConfig',
    'embedInputs',
    'latentScales',
    'llava',
    'llavaNext',
    'loadTextFiles',
    'messageParts',
    'openVlm',
    'parseCacheSetting',
    'parseClipConfig',
    'parseMlaConfig',
    'prepareInputs',
    'qwen25Vl',
    'sequentialPositions',
    'tensorDifference',
    'videoAsText',
    'weightSizes',
  ]);
});
